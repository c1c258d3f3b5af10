"""The scripted service's answers, good and senseless, over a real server on loopback."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import numpy as np
import pytest
import soundfile

from erni.engine_ports import DiarizationRequest, TranscriptionRequest
from erni.engines.scripted_service import ScriptedServiceDiarizer, ScriptedServiceTranscriber
from erni.errors import EngineAnswerInvalid, WorkHandedBack
from erni.model import SAMPLE_RATE_HZ, Diarization, Recognition, Turn, Word

DURATION_S = 10.0


@contextmanager
def serve(body: bytes) -> Iterator[tuple[str, list[BaseHTTPRequestHandler]]]:
    seen: list[BaseHTTPRequestHandler] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"]))
            seen.append(self)
            self.send_response(200)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}", seen
        finally:
            server.shutdown()
            thread.join()


@pytest.fixture
def audio(tmp_path: Path) -> Path:
    path = tmp_path / "audio.flac"
    soundfile.write(path, np.zeros(int(DURATION_S * SAMPLE_RATE_HZ), np.int16), SAMPLE_RATE_HZ)
    return path


def carry_on() -> None:
    """A checkpoint that never stops."""


def transcribe(body: bytes, audio: Path) -> Recognition:
    with serve(body) as (url, _):
        request = TranscriptionRequest(audio, DURATION_S, "en", None, carry_on, key="k")
        return ScriptedServiceTranscriber(url, 5.0).transcribe(request)


def diarize(body: bytes, audio: Path) -> Diarization:
    with serve(body) as (url, _):
        request = DiarizationRequest(audio, (), 2, None, None, carry_on, key="k")
        return ScriptedServiceDiarizer(url, 5.0).diarize(request)


def word(**changes: object) -> bytes:
    return json.dumps({"words": [{"text": "hello", "start_s": 1, "end_s": 1.5, **changes}]}).encode()


def turn(**changes: object) -> bytes:
    return json.dumps({"turns": [{"speaker": "A", "start_s": 0, "end_s": 2.5, **changes}]}).encode()


def test_words_come_bare_and_in_order(audio: Path) -> None:
    rows = [{"text": " b ", "start_s": 2, "end_s": 3}, {"text": "a", "start_s": 0.5, "end_s": 10.9}]
    words = transcribe(json.dumps({"words": rows}).encode(), audio).words
    assert words == (Word("a", 0.5, 10.9), Word("b", 2.0, 3.0))


def test_a_chunk_without_speech_has_no_words(audio: Path) -> None:
    assert transcribe(b'{"words": []}', audio).words == ()


@pytest.mark.parametrize(
    "body",
    [
        b"[]",
        b"null",
        b"{}",
        b'{"words": {}}',
        b'{"words": ["hello"]}',
        b'{"words": [{"text": "a", "start_s": 1e999, "end_s": 1e999}]}',
        word(text=""),
        word(text="  "),
        word(text=7),
        word(text=None),
        word(text="x" * 1001),
        word(text="\ud800"),
        word(start_s="1"),
        word(start_s=True),
        word(start_s=None),
        word(start_s=-0.1),
        word(end_s=0.5),
        word(end_s=11.1),
        word(end_s=10**400),
    ],
)
def test_senseless_words_are_an_invalid_answer(body: bytes, audio: Path) -> None:
    with pytest.raises(EngineAnswerInvalid):
        transcribe(body, audio)


def test_turns_end_with_the_recording(audio: Path) -> None:
    assert diarize(turn(end_s=10.6), audio).turns == (Turn(0.0, DURATION_S, "A"),)


@pytest.mark.parametrize(
    "body",
    [
        b'{"words": []}',
        b'{"turns": 3}',
        turn(speaker=""),
        turn(speaker=1),
        turn(end_s=0),
        turn(start_s=10.2, end_s=10.5),
    ],
)
def test_senseless_turns_are_an_invalid_answer(body: bytes, audio: Path) -> None:
    with pytest.raises(EngineAnswerInvalid):
        diarize(body, audio)


def test_the_service_is_told_the_key_and_the_options(audio: Path) -> None:
    with serve(b'{"turns": []}') as (url, seen):
        ScriptedServiceDiarizer(url, 5.0).diarize(DiarizationRequest(audio, (), None, 2, 4, carry_on, key="k7"))
    assert seen[0].headers["Idempotency-Key"] == "k7"
    assert parse_qs(urlsplit(seen[0].path).query) == {"min_speakers": ["2"], "max_speakers": ["4"]}


def test_work_handed_back_is_not_paid_for(audio: Path) -> None:
    def hand_back() -> None:
        raise WorkHandedBack("shutting down")

    with serve(b'{"words": []}') as (url, seen), pytest.raises(WorkHandedBack):
        ScriptedServiceTranscriber(url, 5.0).transcribe(TranscriptionRequest(audio, 1.0, "en", None, hand_back))
    assert seen == []
