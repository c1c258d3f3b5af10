"""HTTP calls against a real server on loopback that misbehaves in each way."""

from __future__ import annotations

import gzip
import socket
import struct
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from erni.engines import http_call
from erni.engines.http_call import FileCall, FormFile, HttpService, Refusal, bearer, parse_retry_after
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
    StorageError,
)

NOW = datetime(2026, 3, 1, 12, 0, 0, tzinfo=UTC)
SECRET = "s3cret"
Conduct = Callable[[BaseHTTPRequestHandler], None]


@dataclass
class Seen:
    """What the server received, call by call."""

    bodies: list[bytes] = field(default_factory=list)
    paths: list[str] = field(default_factory=list)
    headers: list[dict[str, str]] = field(default_factory=list)


@contextmanager
def serve(conduct: Conduct) -> Iterator[tuple[str, Seen]]:
    seen = Seen()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            seen.bodies.append(self.rfile.read(int(self.headers.get("Content-Length", 0))))
            seen.paths.append(self.path)
            seen.headers.append(dict(self.headers))
            conduct(self)

        do_GET = do_POST  # noqa: N815  the name is http.server's
        do_PUT = do_POST  # noqa: N815  as above

        def log_message(self, *_: object) -> None:
            pass

    class Server(HTTPServer):
        def handle_error(self, *_: object) -> None:
            """A client that leaves early is what some tests are about."""

    with Server(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}/{SECRET}", seen
        finally:
            server.shutdown()
            thread.join()


def answer(status: int, body: bytes = b"{}", **headers: str) -> Conduct:
    def conduct(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(status)
        for name, value in {"Content_Length": str(len(body)), **headers}.items():
            handler.send_header(name.replace("_", "-"), value)
        handler.end_headers()
        handler.wfile.write(body)

    return conduct


def cut(handler: BaseHTTPRequestHandler) -> None:
    """Break off in the middle of the body with a reset."""
    answer(200, b'{"words": [', Content_Length="500")(handler)
    handler.wfile.flush()
    handler.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    handler.connection.close()


def drip(handler: BaseHTTPRequestHandler) -> None:
    """A byte now and then, each within the time-out of a read."""
    answer(200, b"", Content_Length="500")(handler)
    for _ in range(20):
        handler.wfile.write(b" ")
        time.sleep(0.05)


@pytest.fixture
def audio(tmp_path: Path) -> Path:
    path = tmp_path / "chunk.flac"
    path.write_bytes(bytes(range(256)) * 1024)
    return path


def post(url: str, audio: Path, timeout_s: float = 5.0) -> object:
    call = FileCall(audio, "audio/flac", {"Idempotency-Key": "k1"}, {"language": "en"})
    return HttpService("The engine", url, timeout_s).post_file("/transcribe", call)


def fail(conduct: Conduct, audio: Path, timeout_s: float = 5.0) -> EngineError:
    with serve(conduct) as (url, seen), pytest.raises(EngineError) as caught:
        post(url, audio, timeout_s)
    assert len(seen.bodies) == 1, "one attempt per call"
    assert SECRET not in caught.value.message
    return caught.value


def test_the_file_is_sent_whole_with_its_headers_and_parameters(audio: Path) -> None:
    with serve(answer(200, b'{"words": []}')) as (url, seen):
        assert post(url, audio) == {"words": []}
    assert seen.bodies == [audio.read_bytes()]
    assert seen.paths == [f"/{SECRET}/transcribe?language=en"]
    assert seen.headers[0]["Idempotency-Key"] == "k1"
    assert seen.headers[0]["Content-Type"] == "audio/flac"


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (500, EngineDown),
        (502, EngineDown),
        (503, EngineDown),
        (599, EngineDown),
        (408, EngineUnavailable),
        (504, EngineUnavailable),
        (524, EngineUnavailable),
        (429, EngineRateLimited),
        (400, EngineRejected),
        (401, EngineNotAuthorised),
        (402, EngineQuotaExhausted),
        (403, EngineNotAuthorised),
        (413, EngineRejected),
        (499, EngineRejected),
        (302, EngineRejected),
    ],
)
def test_each_status_is_one_error(status: int, kind: type[EngineError], audio: Path) -> None:
    error = fail(answer(status, b'{"error": "your key is sk-1234"}'), audio)
    assert type(error) is kind
    assert str(status) in error.message
    assert "sk-1234" not in error.message


@pytest.mark.parametrize("status", [429, 503])
def test_what_retry_after_asks_for_is_kept(status: int, audio: Path) -> None:
    assert fail(answer(status, Retry_After="7"), audio).retry_after_s == 7.0


@pytest.mark.parametrize(
    ("text", "expected_s"),
    [
        ("0", 0.0),
        (" 12 ", 12.0),
        ("Sun, 01 Mar 2026 12:00:30 GMT", 30.0),
        ("Sun, 01 Mar 2026 11:00:00 GMT", 0.0),
        ("Sunday, 01-Mar-26 12:01:00 GMT", 60.0),
        ("9" * 400, 24 * 3600.0),
        ("Fri, 01 Mar 2999 12:00:00 GMT", 24 * 3600.0),
        (None, None),
        ("", None),
        ("-3", None),
        ("1.5", None),
        ("soon", None),
        ("NaN", None),
        ("٣", None),
        ("Sun, 01 Mar 999999999 12:00:00 GMT", None),
    ],
)
def test_retry_after_is_seconds_or_a_date_or_nothing(text: str | None, expected_s: float | None) -> None:
    assert parse_retry_after(text, NOW) == expected_s


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"<html>It works!</html>",
        b'{"words": [',
        b'{"start_s": NaN}',
        b'{"start_s": -Infinity}',
        b"\xff\xfe{}",
        b"[" * 100_000,
        b"1" * 5_000,
    ],
    ids=["empty", "html", "half", "nan", "infinity", "no-utf8", "deep", "long-number"],
)
def test_what_is_no_json_is_an_invalid_answer(body: bytes, audio: Path) -> None:
    assert type(fail(answer(200, body), audio)) is EngineAnswerInvalid


def test_a_wrong_encoding_is_an_invalid_answer(audio: Path) -> None:
    assert type(fail(answer(200, b"{}", Content_Encoding="gzip"), audio)) is EngineAnswerInvalid


def test_an_answer_that_grows_too_large_is_left(audio: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http_call, "MAX_ANSWER_BYTES", 1000)
    body = gzip.compress(b" " * 1001)
    assert type(fail(answer(200, body, Content_Encoding="gzip"), audio)) is EngineAnswerInvalid


def test_a_cut_answer_is_an_outage(audio: Path) -> None:
    assert type(fail(cut, audio)) is EngineUnavailable


def test_a_connection_closed_without_a_word_is_an_outage(audio: Path) -> None:
    assert type(fail(lambda handler: handler.connection.close(), audio)) is EngineUnavailable


def test_an_answer_that_breaks_http_is_an_outage(audio: Path) -> None:
    assert type(fail(lambda handler: handler.wfile.write(b"220 smtp ready\r\n\r\n"), audio)) is EngineUnavailable


def test_a_silent_engine_is_left_after_the_time_out(audio: Path) -> None:
    started = time.monotonic()
    assert type(fail(lambda _: time.sleep(1.0), audio, timeout_s=0.2)) is EngineUnavailable
    assert time.monotonic() - started < 2.0


def test_a_dripping_engine_is_left_after_the_time_out(audio: Path) -> None:
    error = fail(drip, audio, timeout_s=0.3)
    assert type(error) is EngineUnavailable
    assert "0.3 s" in error.message


def test_nobody_listening_is_an_outage(audio: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    with pytest.raises(EngineUnavailable):
        post(f"http://127.0.0.1:{port}", audio)


def test_a_file_that_is_gone_is_a_fault_of_storage(tmp_path: Path) -> None:
    with serve(answer(200)) as (url, _), pytest.raises(StorageError):
        post(url, tmp_path / "gone.flac")


@pytest.mark.parametrize("url", ["", "ftp://host", "localhost:80", "http://", "http://[::1", "/transcribe"])
def test_a_url_that_is_not_of_http_is_a_wrong_setting(url: str) -> None:
    with pytest.raises(ConfigError):
        HttpService("The engine", url, 1.0)


def test_json_goes_up_and_comes_down_with_the_services_headers() -> None:
    with serve(answer(201, b'{"id": "a"}')) as (url, seen):
        service = HttpService("The engine", url, 5.0, bearer("key", "The engine"))
        assert service.post_json("/jobs", {"model": "m"}) == {"id": "a"}
        assert service.get_json("/jobs", {"cursor": "2"}) == {"id": "a"}
    assert seen.bodies == [b'{"model":"m"}', b""]
    assert seen.paths == [f"/{SECRET}/jobs", f"/{SECRET}/jobs?cursor=2"]
    assert {headers["Authorization"] for headers in seen.headers} == {"Bearer key"}


def test_a_file_can_be_a_part_of_a_form(audio: Path) -> None:
    with serve(answer(200)) as (url, seen):
        form = FormFile("content", audio, "a.flac", "audio/flac", {"metadata": "{}"})
        HttpService("The engine", url, 5.0).post_form("/files", form)
    assert seen.headers[0]["Content-Type"].startswith("multipart/form-data; boundary=")
    assert b'name="content"; filename="a.flac"\r\nContent-Type: audio/flac' in seen.bodies[0]
    assert audio.read_bytes() in seen.bodies[0]


def put(service_url: str, address: str, audio: Path) -> None:
    HttpService("The engine", service_url, 5.0, bearer("key", "The engine")).put_file(address, audio)


def test_a_file_goes_to_a_presigned_address_whole_and_without_the_key(audio: Path) -> None:
    with serve(answer(200, b"<ok/>")) as (url, seen):
        put("http://127.0.0.1:9", f"{url}?signature=x", audio)
    assert seen.bodies == [audio.read_bytes()]
    assert "Authorization" not in seen.headers[0]
    assert seen.headers[0]["Content-Length"] == str(audio.stat().st_size)


def test_a_service_elsewhere_may_not_send_the_audio_out_of_tls(audio: Path) -> None:
    with serve(answer(200)) as (url, seen):
        for service in ("https://api.example.org", "http://api.example.org"):
            with pytest.raises(EngineAnswerInvalid):
                put(service, url, audio)
    assert seen.bodies == []


@pytest.mark.parametrize(
    ("status", "kind"),
    [(403, EngineUnavailable), (401, EngineUnavailable), (400, EngineRejected), (503, EngineDown)],
)
def test_a_refused_upload_says_nothing_of_our_key_or_the_address(
    status: int, kind: type[EngineError], audio: Path
) -> None:
    with serve(answer(status)) as (url, _), pytest.raises(EngineError) as caught:
        put("http://127.0.0.1:9", f"{url}?signature=hidden", audio)
    assert type(caught.value) is kind
    assert "hidden" not in caught.value.message
    assert SECRET not in caught.value.message


def ask(url: str, timeout_s: float = 5.0) -> list[Refusal]:
    """What ``explain`` is given of a refused call, which it takes for a spent quota."""
    refusals: list[Refusal] = []

    def explain(refusal: Refusal) -> EngineError:
        refusals.append(refusal)
        return EngineQuotaExhausted("no money")

    with pytest.raises(EngineQuotaExhausted):
        HttpService("The engine", url, timeout_s, explain=explain).get_json("/jobs")
    return refusals


def test_a_service_explains_its_refusals_itself() -> None:
    with serve(answer(418, b'{"why": "tea"}', X_Limit="3")) as (url, _):
        (refusal,) = ask(url)
    assert (refusal.status, refusal.body) == (418, {"why": "tea"})
    assert refusal.headers.get("x-LIMIT") == "3"


def drip_refusal(handler: BaseHTTPRequestHandler) -> None:
    answer(418, b"", Content_Length="500")(handler)
    for _ in range(20):
        handler.wfile.write(b" ")
        time.sleep(0.05)


@pytest.mark.parametrize(
    "conduct",
    [
        answer(418, b"<html>"),
        answer(418, b'"' + b"x" * 70_000 + b'"'),
        answer(418, b"{", Content_Length="9"),
        drip_refusal,
    ],
    ids=["html", "huge", "cut", "dripping"],
)
def test_a_refusal_whose_body_cannot_be_read_is_still_one(conduct: Conduct) -> None:
    with serve(conduct) as (url, _):
        (refusal,) = ask(url, timeout_s=0.3)
    assert (refusal.status, refusal.body) == (418, None)


def test_where_nothing_is_explained_the_status_decides() -> None:
    with serve(answer(503, Retry_After="4")) as (url, _), pytest.raises(EngineUnavailable) as caught:
        HttpService("The engine", url, 5.0, explain=lambda _: None).get_json("/jobs")
    assert caught.value.retry_after_s == 4.0


@pytest.mark.parametrize("key", ["", "two words", "schlüssel", "a\nb"])
def test_a_key_that_fits_no_header_is_a_wrong_setting(key: str) -> None:
    with pytest.raises(ConfigError):
        bearer(key, "The engine")
    assert "key" not in repr(HttpService("The engine", "http://h", 1.0, bearer("key", "x")))
