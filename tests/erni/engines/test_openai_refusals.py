"""Refusals and the errors they become."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any

import pytest

from erni.engines.openai_refusals import Refusal, explain_refusal, parse_waiting_time
from erni.errors import (
    EngineDown,
    EngineError,
    EngineNotAuthorised,
    EngineQuotaExhausted,
    EngineRateLimited,
    EngineRejected,
    EngineUnavailable,
)


def error(message: str = "Sorry.", **fields: Any) -> dict[str, Any]:
    return {"message": message, "type": None, "param": None, "code": None} | fields


@pytest.mark.parametrize(
    ("status", "body", "expected"),
    [
        (400, error(type="invalid_request_error", code="invalid_value"), EngineRejected),
        (404, error(code="model_not_found"), EngineRejected),
        (413, error(type="server_error"), EngineRejected),
        (415, {"detail": "Unsupported"}, EngineRejected),
        (422, None, EngineRejected),
        (307, "", EngineRejected),
        (401, error(code="invalid_api_key"), EngineNotAuthorised),
        (403, {"detail": "Invalid API key"}, EngineNotAuthorised),
        (402, None, EngineQuotaExhausted),
        (429, error(type="insufficient_quota", code="insufficient_quota"), EngineQuotaExhausted),
        (429, error(code="credit_balance_exhausted"), EngineQuotaExhausted),
        (429, error(code="billing_hard_limit_reached"), EngineQuotaExhausted),
        (429, error("quota and billing", code="rate_limit_exceeded"), EngineRateLimited),
        (429, error(type="rate_limit_error", code="slow_down"), EngineRateLimited),
        (429, "Too many", EngineRateLimited),
        (429, error(code=429), EngineRateLimited),
        (500, None, EngineDown),
        (503, error(type="service_unavailable_error", code="server_is_overloaded"), EngineDown),
        (529, None, EngineDown),
        (502, None, EngineDown),
        (408, None, EngineUnavailable),
        (504, None, EngineUnavailable),
        (524, None, EngineUnavailable),
        (409, None, EngineDown),
    ],
)
def test_each_refusal_is_one_error(status: int, body: object, expected: type[EngineError]) -> None:
    assert type(explain_refusal(Refusal("OpenAI", status, body))) is expected


@pytest.mark.parametrize("body", [error("Bad audio."), {"detail": "Bad audio."}, {"error": "Bad audio."}, "Bad audio."])
def test_a_refusal_is_told_in_the_vendors_words(body: object) -> None:
    said = explain_refusal(Refusal("OpenAI", 400, body, {"X-Request-Id": "req_1"})).message
    assert said == 'OpenAI answered 400: it refuses this call. It says: "Bad audio.". Its request id: req_1.'


def test_a_page_not_found_tells_what_to_check_and_a_model_not_found_what_the_vendor_says() -> None:
    assert "--inference-path" in explain_refusal(Refusal("mine", 404, "File Not Found")).message
    said = explain_refusal(Refusal("OpenAI", 404, error("No such model.", code="model_not_found"))).message
    assert said == 'OpenAI answered 404: it refuses this call. It says: "No such model.".'


@pytest.mark.parametrize("status", [400, 401, 403, 429])
def test_no_key_and_no_address_is_repeated(status: int) -> None:
    body = error("Key sk-proj-abc123 at https://host/v1?token=x is wrong.\nReally " + "very " * 200)
    said = explain_refusal(Refusal("OpenAI", status, body)).message
    assert "abc123" not in said
    assert "token" not in said
    assert "\n" not in said
    assert len(said) < 500


def test_the_wait_asked_for_is_passed_on() -> None:
    for status in (429, 503, 504):
        assert explain_refusal(Refusal("OpenAI", status, None, {"Retry-After": "7"})).retry_after_s == 7


@pytest.mark.parametrize(
    ("headers", "wait_s"),
    [
        ({}, None),
        ({"Retry-After": "12"}, 12),
        ({"retry-after": "1.5"}, 1.5),
        ({"retry-after-ms": "250", "retry-after": "1"}, 0.25),
        ({"retry-after-ms": "soon", "retry-after": "1"}, 1),
        ({"retry-after": "nan"}, None),
        ({"retry-after": "-3"}, None),
        ({"retry-after": "1e12"}, 86_400),
    ],
)
def test_waiting_times_come_in_several_forms(headers: dict[str, str], wait_s: float | None) -> None:
    assert parse_waiting_time(headers) == wait_s


def test_a_waiting_time_may_be_a_date() -> None:
    later = format_datetime(datetime.now(UTC) + timedelta(seconds=30), usegmt=True)
    assert parse_waiting_time({"Retry-After": later}) == pytest.approx(30, abs=2)
