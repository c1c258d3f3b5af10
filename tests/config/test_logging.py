from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from typing import Literal

import pytest
import structlog

from config.logging import configure_logging, mask_credentials
from config.settings import LogSettings

TOKEN = "erni_" + "Zm9vYmFy" * 5 + "abc"


@pytest.fixture(autouse=True)
def logging_as_before() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)
    logging.captureWarnings(capture=False)
    structlog.reset_defaults()
    structlog.contextvars.clear_contextvars()


def configure(form: Literal["auto", "columns", "json"], level: Literal["DEBUG", "INFO"] = "INFO") -> None:
    configure_logging(LogSettings(format=form, level=level))


def json_lines(capsys: pytest.CaptureFixture[str]) -> list[dict[str, object]]:
    return [json.loads(line) for line in capsys.readouterr().err.splitlines()]


def test_event_is_one_json_line_with_its_fields(capsys: pytest.CaptureFixture[str]) -> None:
    configure("json")
    structlog.get_logger("erni.steps").info("chunk_transcribed", chunk=3)
    (line,) = json_lines(capsys)
    assert line["event"] == "chunk_transcribed"
    assert (line["chunk"], line["level"], line["logger"]) == (3, "info", "erni.steps")
    assert str(line["timestamp"]).endswith("Z")


def test_library_lines_take_the_same_form(capsys: pytest.CaptureFixture[str]) -> None:
    configure("json")
    logging.getLogger("celery.worker").warning("lost %s", "broker", extra={"attempt": 2})
    (line,) = json_lines(capsys)
    assert (line["event"], line["level"], line["attempt"]) == ("lost broker", "warning", 2)


def test_bound_job_id_is_on_our_lines_and_on_libraries_lines(capsys: pytest.CaptureFixture[str]) -> None:
    configure("json")
    with structlog.contextvars.bound_contextvars(job_id="f" * 32):
        structlog.get_logger().info("job_accepted")
        logging.getLogger("any").warning("something")
    structlog.get_logger().info("after")
    assert [line.get("job_id") for line in json_lines(capsys)] == ["f" * 32, "f" * 32, None]


def test_lines_below_the_level_are_not_written(capsys: pytest.CaptureFixture[str]) -> None:
    configure("json")
    structlog.get_logger().debug("detail")
    logging.getLogger("any").debug("detail")
    assert json_lines(capsys) == []


def test_library_with_a_handler_of_its_own_is_written_once(capsys: pytest.CaptureFixture[str]) -> None:
    library = logging.getLogger("gunicorn.error")
    library.addHandler(logging.StreamHandler())
    library.propagate = False
    configure("json")
    library.warning("Booting worker")
    assert [line["event"] for line in json_lines(capsys)] == ["Booting worker"]


def test_second_call_replaces_the_first(capsys: pytest.CaptureFixture[str]) -> None:
    configure("json")
    configure("json")
    structlog.get_logger().info("once")
    assert len(json_lines(capsys)) == 1


@pytest.mark.parametrize("form", ["columns", "json"])
def test_exception_is_logged_without_the_local_variables(
    capsys: pytest.CaptureFixture[str], form: Literal["columns", "json"]
) -> None:
    configure(form)
    spoken_word = "confidential sentence"
    try:
        int(spoken_word[:0])
    except ValueError:
        structlog.get_logger().exception("request_crashed")
    written = capsys.readouterr().err
    assert "ValueError" in written
    assert "confidential" not in written


def test_columns_are_chosen_by_name_and_json_where_there_is_no_terminal(
    capsys: pytest.CaptureFixture[str],
) -> None:
    configure("columns")
    structlog.get_logger().info("in_columns")
    assert not capsys.readouterr().err.startswith("{")
    configure("auto")
    structlog.get_logger().info("in_json")
    assert json_lines(capsys)[0]["event"] == "in_json"


@pytest.mark.parametrize(
    ("line", "masked"),
    [
        ("to redis://:pa55@host:6379/0", "to redis://***@host:6379/0"),
        ("postgresql+psycopg://erni:pa55@db/erni", "postgresql+psycopg://***@db/erni"),
        (f"key {TOKEN} sent", "key erni_*** sent"),
        ("Authorization: Bearer abc.def", "Authorization: Bearer ***"),
        ("http://127.0.0.1:8000/v1/jobs", "http://127.0.0.1:8000/v1/jobs"),
        ("mail a@b.c", "mail a@b.c"),
    ],
)
def test_credentials_are_masked_and_nothing_else(line: str, masked: str) -> None:
    assert mask_credentials(line) == masked


def test_credentials_in_an_exception_are_masked(capsys: pytest.CaptureFixture[str]) -> None:
    configure("json")
    error = ConnectionError("redis://:pa55@host refused")
    structlog.get_logger().error("broker_lost", key=TOKEN, exc_info=error)
    written = capsys.readouterr().err
    assert "pa55" not in written
    assert TOKEN not in written
    assert json.loads(written)["event"] == "broker_lost"
