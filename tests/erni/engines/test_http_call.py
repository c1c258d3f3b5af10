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
from erni.engines.http_call import FileCall, HttpService, parse_retry_after
from erni.errors import (
    ConfigError,
    EngineAnswerInvalid,
    EngineError,
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
            seen.bodies.append(self.rfile.read(int(self.headers["Content-Length"])))
            seen.paths.append(self.path)
            seen.headers.append(dict(self.headers))
            conduct(self)

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
        (500, EngineUnavailable),
        (502, EngineUnavailable),
        (503, EngineUnavailable),
        (599, EngineUnavailable),
        (408, EngineUnavailable),
        (429, EngineRateLimited),
        (400, EngineRejected),
        (401, EngineRejected),
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
