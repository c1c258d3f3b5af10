"""A scripted engine for measuring: it answers at a known latency and keeps book of its calls.

Unlike the chaos runs' engine it does not look up who calls, which on a busy host costs more than the call itself.
"""

from __future__ import annotations

import io
import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Final

import soundfile

from chaos.engine_server import answer_turns, answer_words

WORD: Final = "word"


@dataclass(frozen=True, slots=True)
class Call:
    """One answered call. Times are ``time.monotonic()`` seconds of this process."""

    audio_s: float
    latency_s: float
    begun_s: float
    ended_s: float


@dataclass(slots=True)
class TimedEngine:
    """``pace``: seconds an answer takes per second of its audio; diarizing takes no time."""

    url: str = ""
    pace: float = 0.0
    _calls: list[Call] = field(default_factory=list)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def note(self, call: Call) -> None:
        with self._lock:
            self._calls.append(call)

    def take_calls(self) -> list[Call]:
        """The calls since the last time, in the order of their ends."""
        with self._lock:
            calls, self._calls = self._calls, []
        return calls


@contextmanager
def open_engine(pace: float = 0.0) -> Iterator[TimedEngine]:
    """Serve on a free port of loopback."""
    engine = TimedEngine(pace=pace)

    class Handler(_Handler):
        timed = engine

    server = _Server(("127.0.0.1", 0), Handler)
    engine.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.1}, name="engine", daemon=True)
    thread.start()
    try:
        yield engine
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 64


class _Handler(BaseHTTPRequestHandler):
    timed: TimedEngine

    def do_POST(self) -> None:
        begun_s = time.monotonic()
        audio = self.rfile.read(int(self.headers["Content-Length"]))
        audio_s = soundfile.info(io.BytesIO(audio)).duration
        if self.path.partition("?")[0] == "/transcribe":
            body = json.dumps({"words": answer_words(WORD, audio_s)}).encode()
            self._wait(begun_s, audio_s)
        else:
            body = json.dumps({"turns": answer_turns(audio_s)}).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def _wait(self, begun_s: float, audio_s: float) -> None:
        """Until the latency is over; what reading and answering took is part of it."""
        latency_s = self.timed.pace * audio_s
        time.sleep(max(0.0, begun_s + latency_s - time.monotonic()))
        self.timed.note(Call(audio_s, latency_s, begun_s, time.monotonic()))

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002  # the name is http.server's
        """The calls are the log."""
