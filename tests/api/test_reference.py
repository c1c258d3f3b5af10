"""The reference for callers, docs/api.md, names everything the code has."""

from __future__ import annotations

from pathlib import Path

import pytest
from flask import Flask

from api.problems import row_for
from erni.errors import ErniError, Interruption
from erni.exporting import FORMATS
from erni.jobs import JobStatus
from erni.options import JOIN_STRATEGIES, METHODS, OPTION_NAMES

REFERENCE = (Path(__file__).parents[2] / "docs" / "api.md").read_text()


def leaves(root: type[ErniError]) -> list[type[ErniError]]:
    children = root.__subclasses__()
    return [leaf for child in children for leaf in leaves(child)] if children else [root]


@pytest.mark.parametrize("name", [*OPTION_NAMES, *JOIN_STRATEGIES, *METHODS, *FORMATS, *JobStatus])
def test_every_option_format_and_status_is_documented(name: str) -> None:
    assert f"`{name}`" in REFERENCE


@pytest.mark.parametrize("error_class", [leaf for leaf in leaves(ErniError) if not issubclass(leaf, Interruption)])
def test_every_error_is_documented_with_its_status(error_class: type[ErniError]) -> None:
    row = row_for(error_class)
    assert row is not None
    shown_in_job = error_class.code in {"unreadable_media", "media_too_long", "work_lost"}
    lines = [line for line in REFERENCE.splitlines() if f"`{error_class.code}`" in line]
    assert lines
    assert shown_in_job or any(line.startswith(f"| {row.status.value} ") for line in lines)


def test_every_route_is_documented(app: Flask) -> None:
    for rule in app.url_map.iter_rules():
        assert rule.rule.replace("<job_id>", "{id}") in REFERENCE
