from __future__ import annotations

import runpy
from dataclasses import dataclass
from pathlib import Path

import pytest

FILE = Path(__file__).parents[2] / "config" / "flower.py"


@dataclass
class ShownTask:
    args: str | None


@pytest.fixture
def options(monkeypatch, tmp_path):
    monkeypatch.setenv("ERNI_FLOWER__PASSWORD", "pass word")
    monkeypatch.setenv("ERNI_FLOWER__PORT", "6001")
    monkeypatch.setenv("ERNI_DATA_DIR", str(tmp_path))
    return runpy.run_path(str(FILE))


def test_options_follow_the_settings(options, tmp_path):
    assert (options["address"], options["port"]) == ("127.0.0.1", 6001)
    assert options["basic_auth"] == ["erni:pass word"]
    assert options["db"] == str(tmp_path / "flower.db")


def test_flower_without_a_password_does_not_start(monkeypatch):
    monkeypatch.delenv("ERNI_FLOWER__PASSWORD", raising=False)
    with pytest.raises(SystemExit, match="ERNI_FLOWER__PASSWORD is not set"):
        runpy.run_path(str(FILE))


@pytest.mark.parametrize(
    ("arguments", "shown"),
    [
        ("('0f3c',)", "job 0f3c"),
        ("('0f3c', 12)", "job 0f3c, part 12"),
        ("()", "()"),
        ("('0f3c', ...", "('0f3c', ..."),
        (None, None),
    ],
)
def test_arguments_are_shown_in_words(options, arguments, shown):
    assert options["format_task"](ShownTask(arguments)).args == shown
