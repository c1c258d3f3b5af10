"""Faults on demand, a limit of requests per minute, and a log of what was asked and billed: around any vendor.

``Faults`` wraps a vendor's application. A test holds it in hand; another process reaches it by ``POST /_faults`` with
any of ``{"next": {"kind", "status", "code", ..., "count"}, "share": {..., "share", "seed"}, "requests_per_minute": 50,
"clear": true}``, and reads by ``GET /_faults`` what was received and billed.
"""

from __future__ import annotations

import json
import math
import random
import socket
import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, field
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Final, Literal

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

FaultKind = Literal["status", "cut", "lost", "torn", "garbage", "delay"]
"""``status``: refused with the vendor's own error. ``cut``: the connection ends before any work. ``lost``: the work is
done and billed, then the connection ends. ``torn``: as ``lost``, in the middle of the answer. ``garbage``: as ``lost``,
with an answer that cannot be read. ``delay``: answered as ever, ``delay_s`` later."""

ErrorAnswer = tuple[bytes, Mapping[str, str]]
"""Body and headers."""

ErrorWriter = Callable[[int, str | None], ErrorAnswer]
"""A vendor's own error body for a status and, where it has such, a code."""

CONTROL_PATH: Final = "/_faults"
GARBAGE: Final = b'{"text": "unfinis'
WINDOW_S: Final = 60.0
_READ_BYTES: Final = 1024**2


@dataclass(frozen=True, slots=True)
class Fault:
    """What goes wrong with a request. ``headers`` join the error's own; ``methods`` and ``path`` (the beginning of one)
    say which requests are meant.
    """

    kind: FaultKind = "status"
    status: int = 500
    code: str | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    delay_s: float = 0.0
    body: bytes | None = None
    path: str = "/"
    methods: tuple[str, ...] = ("GET", "POST", "PUT", "DELETE")


@dataclass(frozen=True, slots=True)
class Received:
    """A request, and the status it was answered with: 0 where the connection was cut."""

    at_s: float
    method: str
    path: str
    query: str
    headers: Mapping[str, str]
    status: int
    fault: FaultKind | None


@dataclass(frozen=True, slots=True)
class Billed:
    """A call the vendor would ask money for: ``work`` says what was done, ``digest`` with which audio (SHA-256)."""

    work: str
    audio_s: float
    digest: str


class Faults:
    """Around one vendor's application; safe to use from any thread.

    Faults ordered by ``order`` come first, each ``count`` times; then a share of the requests fails at random.
    ``limit`` keeps a sliding window per method and path's first three parts, as vendors do: beyond it 429 with
    ``Retry-After``. Refused requests do not count towards it.
    """

    def __init__(self, write_error: ErrorWriter) -> None:
        self._write_error = write_error
        self._lock = threading.Lock()
        self._ordered: deque[Fault] = deque()
        self._share = 0.0
        self._shared = Fault()
        self._random = random.Random(0)  # noqa: S311  # faults, not secrets
        self._per_minute: int | None = None
        self._window_s = WINDOW_S
        self._accepted: dict[str, deque[float]] = {}
        self._received: list[Received] = []
        self._billed: list[Billed] = []

    def order(self, fault: Fault, count: int = 1) -> None:
        """Let the next ``count`` requests that the fault is meant for go wrong."""
        with self._lock:
            self._ordered.extend([fault] * count)

    def share(self, fault: Fault, share: float, seed: int = 0) -> None:
        """Let a share (0 to 1) of all further requests go wrong, the same ones for the same seed and order."""
        with self._lock:
            self._share, self._shared, self._random = share, fault, random.Random(seed)  # noqa: S311  # as above

    def limit(self, requests_per_minute: int | None, window_s: float = WINDOW_S) -> None:
        """Accept so many requests in any ``window_s``; ``None`` for any number."""
        with self._lock:
            self._per_minute, self._window_s = requests_per_minute, window_s

    def clear(self) -> None:
        """No more faults and no limit, and an empty log."""
        with self._lock:
            self._ordered.clear()
            self._share, self._per_minute = 0.0, None
            for log in (self._accepted, self._received, self._billed):
                log.clear()

    def bill(self, work: str, audio_s: float, digest: str = "") -> None:
        """The vendor's application has done paid work."""
        with self._lock:
            self._billed.append(Billed(work, audio_s, digest))

    @property
    def received(self) -> tuple[Received, ...]:
        with self._lock:
            return tuple(self._received)

    @property
    def billed(self) -> tuple[Billed, ...]:
        with self._lock:
            return tuple(self._billed)

    def wrap(self, app: WSGIApplication) -> WSGIApplication:
        """The application with all of this around it."""

        def wrapped(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
            if environ["PATH_INFO"] == CONTROL_PATH:
                return self._control(environ, start_response)
            return self._handle(app, environ, start_response)

        return wrapped

    def _handle(self, app: WSGIApplication, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        retry_after_s = self._refused_for_s(environ)
        if retry_after_s is not None:
            headers = {"Retry-After": str(math.ceil(retry_after_s))}
            limited = Fault("status", int(HTTPStatus.TOO_MANY_REQUESTS), headers=headers)
            return self._refuse(limited, environ, start_response)
        fault = self._next_fault(environ)
        if fault is None or fault.kind == "delay":
            time.sleep(fault.delay_s if fault is not None else 0.0)
            answer = _Answer(app, environ)
            self._enter(environ, answer.status, fault)
            return answer.send(start_response)
        if fault.kind == "status":
            return self._refuse(fault, environ, start_response)
        return self._break(fault, app, environ, start_response)

    def _refuse(self, fault: Fault, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        _drain(environ)
        body, headers = self._write_error(fault.status, fault.code)
        body = body if fault.body is None else fault.body
        self._enter(environ, fault.status, fault)
        sent = {**headers, **fault.headers, "Content-Length": str(len(body))}
        start_response(f"{fault.status} {_phrase(fault.status)}", list(sent.items()))
        return [body]

    def _break(
        self, fault: Fault, app: WSGIApplication, environ: WSGIEnvironment, start_response: StartResponse
    ) -> Iterable[bytes]:
        """Do the work, but for ``cut``; then spoil the answer."""
        if fault.kind == "cut":
            _drain(environ)
            self._enter(environ, 0, fault)
            _reset(environ)
        answer = _Answer(app, environ)
        self._enter(environ, int(HTTPStatus.OK) if fault.kind == "garbage" else 0, fault)
        if fault.kind == "lost":
            _reset(environ)
        if fault.kind == "garbage":
            answer.line, answer.body = "200 OK", fault.body or GARBAGE
            return answer.send(start_response)
        return _torn(answer, environ, start_response)

    def _next_fault(self, environ: WSGIEnvironment) -> Fault | None:
        with self._lock:
            for fault in self._ordered:
                if _is_meant(fault, environ):
                    self._ordered.remove(fault)
                    return fault
            if self._share and _is_meant(self._shared, environ) and self._random.random() < self._share:
                return self._shared
        return None

    def _refused_for_s(self, environ: WSGIEnvironment) -> float | None:
        """Seconds until the limit lets such a request through, ``None`` where it does now (and counts it)."""
        now_s = time.monotonic()
        where = f"{environ['REQUEST_METHOD']} {'/'.join(environ['PATH_INFO'].split('/')[:4])}"
        with self._lock:
            if self._per_minute is None:
                return None
            accepted = self._accepted.setdefault(where, deque())
            while accepted and accepted[0] <= now_s - self._window_s:
                accepted.popleft()
            if len(accepted) >= self._per_minute:
                return accepted[0] + self._window_s - now_s
            accepted.append(now_s)
        return None

    def _enter(self, environ: WSGIEnvironment, status: int, fault: Fault | None) -> None:
        headers = {
            name.removeprefix("HTTP_").replace("_", "-").lower(): str(value)
            for name, value in environ.items()
            if name.startswith("HTTP_") or name in {"CONTENT_TYPE", "CONTENT_LENGTH"}
        }
        received = Received(
            time.monotonic(),
            environ["REQUEST_METHOD"],
            environ["PATH_INFO"],
            environ.get("QUERY_STRING", ""),
            headers,
            status,
            fault.kind if fault is not None else None,
        )
        with self._lock:
            self._received.append(received)

    def _control(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        status = HTTPStatus.OK
        try:
            if environ["REQUEST_METHOD"] == "POST":
                self._obey(json.loads(_read(environ) or b"{}"))
            answer: object = self._account()
        except (ValueError, TypeError, AttributeError) as error:
            status, answer = HTTPStatus.BAD_REQUEST, {"error": str(error)}
        body = json.dumps(answer).encode()
        headers = [("Content-Type", "application/json"), ("Content-Length", str(len(body)))]
        start_response(f"{status.value} {status.phrase}", headers)
        return [body]

    def _obey(self, orders: Mapping[str, Any]) -> None:
        if orders.get("clear"):
            self.clear()
        if wanted := dict(orders.get("next", {})):
            self.order(count=wanted.pop("count", 1), fault=Fault(**wanted))
        if wanted := dict(orders.get("share", {})):
            self.share(share=wanted.pop("share"), seed=wanted.pop("seed", 0), fault=Fault(**wanted))
        if "requests_per_minute" in orders:
            self.limit(orders["requests_per_minute"], orders.get("window_s", WINDOW_S))

    def _account(self) -> dict[str, object]:
        received, billed = self.received, self.billed
        return {
            "requests": len(received),
            "by_status": Counter(str(entry.status) for entry in received),
            "faults": Counter(entry.fault for entry in received if entry.fault is not None),
            "billed": [asdict(entry) for entry in billed],
        }


class _Answer:
    """What the application answers, held back whole."""

    def __init__(self, app: WSGIApplication, environ: WSGIEnvironment) -> None:
        self.line, self.headers = "500 ", list[tuple[str, str]]()
        written: list[bytes] = []

        def start_response(status: str, headers: list[tuple[str, str]], _: object = None) -> Callable[[bytes], object]:
            self.line, self.headers = status, headers
            return written.append

        pieces = app(environ, start_response)
        try:
            self.body = b"".join([*written, *pieces])
        finally:
            getattr(pieces, "close", lambda: None)()

    @property
    def status(self) -> int:
        return int(self.line.partition(" ")[0])

    def send(self, start_response: StartResponse) -> Iterable[bytes]:
        start_response(self.line, self._headers(len(self.body)))
        return [self.body]

    def _headers(self, length: int) -> list[tuple[str, str]]:
        others = [(name, value) for name, value in self.headers if name.lower() != "content-length"]
        return [*others, ("Content-Length", str(length))]


def _torn(answer: _Answer, environ: WSGIEnvironment, start_response: StartResponse) -> Iterator[bytes]:
    whole = answer.body
    start_response(answer.line, answer._headers(len(whole)))  # noqa: SLF001  # of this module
    yield whole[: len(whole) // 2]
    _reset(environ)


def _reset(environ: WSGIEnvironment) -> None:
    """End the connection in the middle of it, as a crash does."""
    connection: socket.socket = environ["werkzeug.socket"]
    connection.shutdown(socket.SHUT_RDWR)
    raise ConnectionResetError


def _is_meant(fault: Fault, environ: WSGIEnvironment) -> bool:
    return environ["REQUEST_METHOD"] in fault.methods and environ["PATH_INFO"].startswith(fault.path)


def _read(environ: WSGIEnvironment) -> bytes:
    return bytes(environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0)))


def _drain(environ: WSGIEnvironment) -> None:
    """Take what the caller sends: one refused in the middle of it may not see the answer."""
    left = int(environ.get("CONTENT_LENGTH") or 0)
    while left > 0 and (piece := environ["wsgi.input"].read(min(left, _READ_BYTES))):
        left -= len(piece)


def _phrase(status: int) -> str:
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return "Unknown"
