"""Calls through the official SDK against a real server on loopback that misbehaves in each way."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from datetime import date
from typing import TYPE_CHECKING, Any

import pytest

from erni.engines import openai_connection
from erni.engines.openai_connection import OpenAIConnection, Upload
from erni.errors import (
    ConfigError,
    EngineAnswerInvalid,
    EngineDown,
    EngineError,
    EngineNotAuthorised,
    EngineQuotaExhausted,
    EngineRateLimited,
    EngineRejected,
    EngineUnavailable,
)
from vendors.faults import Fault
from vendors.listening import ScriptedListening
from vendors.openai import API_KEY, OpenAIVendor
from vendors.server import serve

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIEnvironment

UPLOAD = Upload("audio.ogg", b"OggS", "audio/ogg")
FORM = {"model": "whisper-1"}


@pytest.fixture
def vendor() -> OpenAIVendor:
    return OpenAIVendor(ScriptedListening())


@pytest.fixture
def url(vendor: OpenAIVendor) -> Iterator[str]:
    with serve(vendor.app) as served:
        yield f"{served.url}/v1"


def connect(url: str, **changes: Any) -> OpenAIConnection:
    fields: dict[str, Any] = {"api_key": API_KEY, "timeout_s": 5.0}
    return OpenAIConnection("OpenAI", url, **(fields | changes))


@pytest.mark.parametrize(
    ("fault", "expected"),
    [
        (Fault(status=400), EngineRejected),
        (Fault(status=401), EngineNotAuthorised),
        (Fault(status=403), EngineNotAuthorised),
        (Fault(status=413), EngineRejected),
        (Fault(status=429), EngineRateLimited),
        (Fault(status=429, code="insufficient_quota"), EngineQuotaExhausted),
        (Fault(status=500), EngineDown),
        (Fault(status=503, body=b"<html>"), EngineDown),
        (Fault(status=408), EngineUnavailable),
        (Fault(status=504, body=b"<html>"), EngineUnavailable),
        (Fault("cut"), EngineUnavailable),
        (Fault("torn"), EngineUnavailable),
        (Fault(status=307, headers={"Location": "http://127.0.0.1:1/"}), EngineRejected),
    ],
)
def test_each_fault_is_one_request_and_one_error(
    url: str, vendor: OpenAIVendor, fault: Fault, expected: type[EngineError]
) -> None:
    vendor.faults.order(fault)
    with pytest.raises(EngineError) as raised:
        connect(url).transcribe(UPLOAD, FORM)
    assert type(raised.value) is expected
    assert len(vendor.faults.received) == 1


def test_the_wait_the_vendor_asks_for_is_passed_on(url: str, vendor: OpenAIVendor) -> None:
    vendor.faults.order(Fault(status=429, headers={"Retry-After": "300"}))
    with pytest.raises(EngineRateLimited) as raised:
        connect(url).transcribe(UPLOAD, FORM)
    assert raised.value.retry_after_s == 300


def test_a_late_answer_is_not_waited_for(url: str, vendor: OpenAIVendor) -> None:
    vendor.faults.order(Fault("delay", delay_s=1.0))
    with pytest.raises(EngineUnavailable, match="did not answer within"):
        connect(url, timeout_s=0.2).transcribe(UPLOAD, FORM)


def test_a_dripping_answer_is_not_waited_for() -> None:
    def drip(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        environ["wsgi.input"].read(int(environ["CONTENT_LENGTH"]))
        start_response("200 OK", [("Content-Type", "application/json"), ("Content-Length", "1000")])
        for _ in range(100):
            time.sleep(0.05)
            yield b" "

    with serve(drip) as served, pytest.raises(EngineUnavailable, match="did not answer within"):
        connect(served.url, timeout_s=0.5).transcribe(UPLOAD, FORM)


def test_an_endless_answer_is_none(url: str, vendor: OpenAIVendor, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(openai_connection, "MAX_ANSWER_BYTES", 100)
    vendor.faults.order(Fault("garbage", body=b" " * 101))
    with pytest.raises(EngineAnswerInvalid, match="larger"):
        connect(url).transcribe(UPLOAD, FORM)


def test_a_server_that_is_not_there_is_unavailable(url: str) -> None:
    with serve(lambda *_: []) as served:
        gone = served.url
    with pytest.raises(EngineUnavailable, match="cannot be reached"):
        connect(gone).transcribe(UPLOAD, FORM)


def test_nothing_of_the_environment_gets_into_a_call(
    url: str, vendor: OpenAIVendor, monkeypatch: pytest.MonkeyPatch
) -> None:
    headers = "X-Injected: 1\nAuthorization: Bearer sk-stolen"
    for name, value in {
        "OPENAI_API_KEY": "sk-other",
        "OPENAI_ADMIN_KEY": "sk-admin",
        "OPENAI_BASE_URL": "http://127.0.0.1:1/v1",
        "OPENAI_ORG_ID": "org-other",
        "OPENAI_PROJECT_ID": "proj-other",
        "OPENAI_CUSTOM_HEADERS": headers,
        "HTTP_PROXY": "http://127.0.0.1:1",
    }.items():
        monkeypatch.setenv(name, value)
    connect(url).shutdown_dates()
    connect(url, project="proj-ours").shutdown_dates()
    without, with_project = (received.headers for received in vendor.faults.received)
    assert without["authorization"] == f"Bearer {API_KEY}"
    assert not {"x-injected", "openai-organization", "openai-project"} & without.keys()
    assert with_project["openai-project"] == "proj-ours"


def test_without_a_key_none_is_sent(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-other")
    vendor = OpenAIVendor(ScriptedListening(), api_key=None)
    with serve(vendor.app) as served:
        connect(f"{served.url}/v1", api_key=None).shutdown_dates()
    assert "authorization" not in vendor.faults.received[0].headers


def test_a_probe_tells_when_models_end(url: str) -> None:
    ends = connect(url).shutdown_dates()
    assert ends["whisper-1"] == date(2027, 2, 26)
    assert ends["gpt-transcribe"] is None


@pytest.mark.parametrize("body", [b"", b"[]", b"{}", b'{"data": 7}', b'{"data": [7]}', b"<html>", b"\xff"])
def test_a_probe_that_cannot_be_read_is_no_answer(url: str, vendor: OpenAIVendor, body: bytes) -> None:
    vendor.faults.order(Fault("garbage", body=body or b" "))
    with pytest.raises(EngineAnswerInvalid):
        connect(url).shutdown_dates()


def test_a_probe_with_a_wrong_key_says_so(url: str) -> None:
    with pytest.raises(EngineNotAuthorised):
        connect(url, api_key="sk-wrong").shutdown_dates()


@pytest.mark.parametrize(
    "changes",
    [{"base_url": "api.openai.com/v1"}, {"base_url": "file:///etc"}, {"api_key": "sk-a\nb"}, {"api_key": "sk-ü"}],
)
def test_what_cannot_be_sent_is_a_wrong_setting(changes: dict[str, str]) -> None:
    with pytest.raises(ConfigError) as raised:
        OpenAIConnection(**({"name": "OpenAI", "base_url": "http://127.0.0.1/v1"} | changes))  # type: ignore[arg-type]  # all texts
    assert "sk-" not in raised.value.message


def test_the_key_is_not_shown() -> None:
    assert API_KEY not in repr(connect("http://127.0.0.1/v1"))
