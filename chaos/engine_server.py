"""The scripted engine: an HTTP server whose answers are a pure function of the audio, at a known cost in seconds.

On demand it misbehaves, a few times per key: retries are to get through. Each call is entered in the ledger.
"""

from __future__ import annotations

import hashlib
import io
import json
import socket
import struct
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Final, Literal

import psutil
import soundfile

from chaos.ledger import Call, Ledger

Mood = Literal["good", "429", "500", "time-out", "cut", "garbage"]

MAX_MISDEEDS: Final = 2
"""Bad answers per key over the whole run: what Erni bears of the worst kind, an answer that cannot be read."""

RETRY_AFTER_S: Final = 2
HANG_S: Final = 60.0
WORD_EVERY_S: Final = 0.4
TURN_S: Final = 6.0
CHEAPEST_S: Final = 0.3
DEAREST_S: Final = 1.0
GARBAGE: Final = (
    b'{"words": [{"text": "a", "start_s": NaN',
    b"<html>502</html>",
    b'{"words": 7}',
    b"\xff\xfe",
    b"[" * 10_000,
)


def answer_words(digest: str, duration_s: float) -> list[dict[str, Any]]:
    """A word every 0.4 s that names the audio it came from."""
    return [
        {"text": f"{digest[:8]}-{number}", "start_s": number * WORD_EVERY_S, "end_s": (number + 1) * WORD_EVERY_S}
        for number in range(int(duration_s / WORD_EVERY_S))
    ]


def answer_turns(duration_s: float) -> list[dict[str, Any]]:
    """Two speakers who take turns of 6 s."""
    return [
        {
            "speaker": "AB"[number % 2],
            "start_s": number * TURN_S,
            "end_s": min(duration_s, (number + 1) * TURN_S),
        }
        for number in range(int(duration_s // TURN_S) + 1)
        if number * TURN_S < duration_s
    ]


def cost_s(digest: str) -> float:
    """Seconds a call on this audio takes: 0.3-1, by its digest."""
    return CHEAPEST_S + (DEAREST_S - CHEAPEST_S) * int(digest[:2], 16) / 255


@dataclass(slots=True)
class EngineState:
    """What the server's threads share. ``pace`` is a factor on the cost."""

    ledger: Ledger
    mood: Mood = "good"
    pace: float = 1.0
    is_closing: threading.Event = field(default_factory=threading.Event)


@contextmanager
def open_engine(ledger: Ledger) -> Iterator[tuple[str, EngineState]]:
    """Serve on a free port of loopback; yields the URL and the state to change."""
    state = EngineState(ledger)

    class Handler(_Handler):
        engine = state

    server = _Server(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.1}, name="engine", daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}", state
    finally:
        state.is_closing.set()
        server.shutdown()
        server.server_close()
        thread.join()


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 64

    def handle_error(self, request: object, client_address: object) -> None:
        """A caller that was killed is what the run is about."""


class _Handler(BaseHTTPRequestHandler):
    engine: EngineState

    def do_POST(self) -> None:
        begun_s = time.monotonic()
        audio = self.rfile.read(int(self.headers["Content-Length"]))
        digest = hashlib.sha256(audio).hexdigest()
        work, key = self.path.partition("?")[0].strip("/"), self.headers.get("Idempotency-Key", "")
        pid = find_caller(self.connection.getpeername()[1], self.connection.getsockname()[1])
        call = self.engine.ledger.begin(Call(0, work, key, digest, pid, begun_s))
        mood = self.engine.mood
        if mood != "good" and self.engine.ledger.may_misbehave(key, MAX_MISDEEDS):
            self._misbehave(mood, call)
            return
        body = self._work(work, digest, audio)
        time.sleep(max(0.0, begun_s + cost_s(digest) * self.engine.pace - time.monotonic()))
        self.engine.ledger.end(call.number, "paid", time.monotonic())
        self._answer(200, body)

    def _work(self, work: str, digest: str, audio: bytes) -> bytes:
        duration_s = soundfile.info(io.BytesIO(audio)).duration
        if work == "transcribe":
            return json.dumps({"words": answer_words(digest, duration_s)}).encode()
        return json.dumps({"turns": answer_turns(duration_s)}).encode()

    def _misbehave(self, mood: Mood, call: Call) -> None:
        end = self.engine.ledger.end
        match mood:
            case "429" | "500":
                end(call.number, "refused", time.monotonic())
                self._answer(int(mood), b"{}", {"Retry-After": str(RETRY_AFTER_S)} if mood == "429" else {})
            case "garbage":
                end(call.number, "garbled", time.monotonic())
                self._answer(200, GARBAGE[call.number % len(GARBAGE)])
            case "cut":
                end(call.number, "cut", time.monotonic())
                self._answer(200, b'{"words": [', {"Content-Length": "4096"})
                self._reset()
            case _:
                self._hang()
                end(call.number, "hung", time.monotonic())

    def _answer(self, status: int, body: bytes, headers: dict[str, str] | None = None) -> None:
        self.send_response(status)
        for name, value in {"Content-Length": str(len(body)), **(headers or {})}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def _reset(self) -> None:
        """End the connection without a goodbye (RST), as a crash does."""
        self.wfile.flush()
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.connection.close()
        self.close_connection = True

    def _hang(self) -> None:
        """Say nothing until the caller has gone."""
        until_s = time.monotonic() + HANG_S
        self.connection.settimeout(0.2)
        while time.monotonic() < until_s and not self.engine.is_closing.is_set():
            try:
                if not self.connection.recv(1):
                    break
            except TimeoutError:
                continue
            except OSError:
                break
        self.close_connection = True

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002  # the name is http.server's
        """The ledger keeps book."""


def find_caller(port: int, server_port: int) -> int | None:
    """The process that holds the other end of a connection on this host."""
    for found in psutil.net_connections("tcp4"):
        if found.laddr and found.raddr and (found.laddr.port, found.raddr.port) == (port, server_port):
            return found.pid
    return None
