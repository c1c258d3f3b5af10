"""A loopback server that answers as it is told and remembers what it was asked."""

from __future__ import annotations

import functools
import json
import threading
from collections import defaultdict, deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import pytest

DROP = "drop"


@dataclass
class Request:
    method: str
    path: str
    query: dict[str, str]
    headers: dict[str, str]
    body: bytes


@dataclass
class Answer:
    status: int = 200
    body: Any = None
    content_type: str = "application/json"

    def content(self) -> bytes:
        if self.body is None or isinstance(self.body, bytes):
            return self.body or b""
        return json.dumps(self.body).encode()


@dataclass
class LoopbackServer:
    """``answers`` holds, by method and path, what to say in turn; the last one is said for ever after."""

    url: str = ""
    answers: dict[tuple[str, str], deque[Answer | str]] = field(default_factory=lambda: defaultdict(deque))
    requests: list[Request] = field(default_factory=list)
    stop: Callable[[], None] = field(default=lambda: None)

    def will(self, method: str, path: str, *answers: Answer | str) -> None:
        self.answers[method, path].extend(answers)

    def next_answer(self, method: str, path: str) -> Answer | str:
        queue = self.answers[method, path]
        if not queue:
            problem = {
                "title": "Not found",
                "status": 404,
                "detail": "There is no job with this id.",
                "code": "x",
            }
            return Answer(404, problem, "application/problem+json")
        return queue.popleft() if len(queue) > 1 else queue[0]


def make_handler(server: LoopbackServer) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_any(self) -> None:
            parts = urlsplit(self.path)
            body = self.read_body()
            server.requests.append(
                Request(self.command, parts.path, dict(parse_qsl(parts.query)), dict(self.headers), body)
            )
            answer = server.next_answer(self.command, parts.path)
            if isinstance(answer, str):
                self.close_connection = True
                return
            content = answer.content()
            self.send_response(answer.status)
            self.send_header("Content-Type", answer.content_type)
            self.send_header("Connection", "close")
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def read_body(self) -> bytes:
            return self.rfile.read(int(self.headers.get("Content-Length") or 0))

        do_GET = do_POST = do_DELETE = do_any  # noqa: N815  # the base class calls them so

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002  # the base class names it so
            """Keep the test's output clean."""

    return Handler


@pytest.fixture
def server() -> Iterator[LoopbackServer]:
    loopback = LoopbackServer()
    http = ThreadingHTTPServer(("127.0.0.1", 0), make_handler(loopback))
    loopback.url = f"http://127.0.0.1:{http.server_port}"
    thread = threading.Thread(target=http.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()

    def stop() -> None:
        http.shutdown()
        thread.join()
        http.server_close()

    loopback.stop = functools.cache(stop)
    yield loopback
    loopback.stop()


@pytest.fixture
def job() -> dict[str, Any]:
    """A finished job as the API shows it."""
    return {
        "id": "a" * 32,
        "status": "succeeded",
        "stage": None,
        "progress": 1.0,
        "chunks": {"total": 2, "done": 2},
        "timings": {"prepare_s": 0.5, "total_s": 3.25},
        "warnings": [],
        "error": None,
        "duration_s": 86.5,
        "created_at": "2026-01-02T03:04:05Z",
        "finished_at": "2026-01-02T03:04:08Z",
        "filename": "standup.flac",
    }


@pytest.fixture
def answer() -> type[Answer]:
    return Answer


@pytest.fixture
def dropped() -> str:
    """What stands for a connection closed without an answer."""
    return DROP
