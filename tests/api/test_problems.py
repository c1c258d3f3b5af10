from __future__ import annotations

from collections.abc import Iterator

import httpx
import pytest
from flask import Flask
from structlog.testing import capture_logs

from api.problems import ROWS, row_for
from erni import errors
from erni.errors import ErniError


def subclasses(root: type[ErniError]) -> Iterator[type[ErniError]]:
    for child in root.__subclasses__():
        yield child
        yield from subclasses(child)


ALL_ERRORS = sorted(subclasses(ErniError), key=lambda error_class: error_class.__name__)


@pytest.mark.parametrize("error_class", ALL_ERRORS)
def test_every_error_has_a_row(error_class: type[ErniError]) -> None:
    assert row_for(error_class) is not None


def test_root_of_the_tree_has_no_row_that_would_hide_a_missing_one() -> None:
    assert ErniError not in ROWS


def answer(app: Flask, error: Exception) -> tuple[int, dict[str, object], dict[str, str]]:
    """What a caller reads of a route that raises ``error``."""

    @app.get("/raise")
    def fail() -> str:
        raise error

    response = app.test_client().get("/raise")
    assert response.content_type == "application/problem+json"
    return response.status_code, response.get_json(), dict(response.headers)


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (errors.InvalidOption("x", field="join"), 422),
        (errors.LanguageNotSupported("x", field="language"), 422),
        (errors.UnreadableMedia("x"), 422),
        (errors.EmptyUpload("x"), 422),
        (errors.MediaTooLarge("x"), 413),
        (errors.MediaTooLong("x"), 422),
        (errors.UnknownFormat("x"), 422),
        (errors.NotAuthenticated("x"), 401),
        (errors.SignatureInvalid("x"), 401),
        (errors.SpendingCapReached("x", field="max_usd"), 402),
        (errors.JobNotFound("x"), 404),
        (errors.VoiceprintNotFound("x"), 404),
        (errors.JobConflict("x"), 409),
        (errors.TranscriptNotReady("x"), 409),
    ],
)
def test_what_the_caller_can_mend_is_told_in_the_errors_words(app: Flask, error: ErniError, status: int) -> None:
    code = type(error).code
    got_status, problem, _ = answer(app, error)
    assert got_status == problem["status"] == status
    assert (problem["code"], problem["type"], problem["detail"]) == (code, f"urn:erni:problem:{code}", "x")
    assert problem.get("field") == error.field


@pytest.mark.parametrize(
    ("error_class", "status", "is_worth_repeating"),
    [
        (errors.EngineUnavailable, 503, True),
        (errors.EngineRateLimited, 503, True),
        (errors.EngineRejected, 502, False),
        (errors.EngineAnswerInvalid, 502, False),
        (errors.StorageError, 503, True),
        (errors.BlobNotFound, 500, False),
        (errors.DocumentDamaged, 500, False),
        (errors.StorageFull, 507, True),
        (errors.QueueUnavailable, 503, True),
        (errors.ConfigError, 500, False),
        (errors.WorkLost, 500, False),
        (errors.WorkPostponed, 500, False),
        (errors.WorkInFlight, 500, False),
        (errors.WorkHandedBack, 500, False),
        (errors.JobStopped, 500, False),
    ],
)
def test_fault_on_our_side_is_logged_and_not_told(
    app: Flask, error_class: type[ErniError], status: int, is_worth_repeating: bool
) -> None:
    with capture_logs() as events:
        got_status, problem, headers = answer(app, error_class("redis://:secret@db-7 refused"))
    assert (got_status, problem["code"]) == (status, error_class.code)
    assert "db-7" not in str(problem)
    assert ("Retry-After" in headers) is is_worth_repeating
    (failure,) = (event for event in events if event["event"] == "request_failed")
    assert failure["reason"] == "redis://:secret@db-7 refused"


def test_error_that_knows_when_to_come_back_says_so_in_whole_seconds(app: Flask) -> None:
    _, _, headers = answer(app, errors.EngineUnavailable("x", retry_after_s=7.2))
    assert headers["Retry-After"] == "8"


def test_bug_is_answered_without_a_word_of_it_and_logged_with_its_cause(app: Flask) -> None:
    bug = ZeroDivisionError("secret figure")
    with capture_logs() as events:
        status, problem, _ = answer(app, bug)
    assert (status, problem["code"]) == (500, "internal")
    assert "secret" not in str(problem)
    assert "ZeroDivision" not in str(problem)
    (crash,) = (event for event in events if event["event"] == "request_crashed")
    assert crash["exc_info"] is bug


def test_unknown_path_is_a_problem(client: httpx.Client) -> None:
    answer = client.get("/v2/jobs")
    assert answer.headers["Content-Type"] == "application/problem+json"
    assert (answer.status_code, answer.json()["code"]) == (404, "not_found")


def test_wrong_method_is_a_problem_that_names_the_right_ones(client: httpx.Client) -> None:
    answer = client.put("/v1/jobs")
    assert (answer.status_code, answer.json()["code"]) == (405, "method_not_allowed")
    assert {"GET", "POST"} <= set(answer.headers["Allow"].split(", "))
