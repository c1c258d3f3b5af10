"""The timed engine: known latency, exact book."""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np
import pytest
import soundfile

from bench.engine import open_engine
from erni.engine_ports import DiarizationRequest, TranscriptionRequest
from erni.engines.scripted_service import ScriptedServiceDiarizer, ScriptedServiceTranscriber


@pytest.fixture
def audio(tmp_path: Path) -> Path:
    path = tmp_path / "two-seconds.flac"
    soundfile.write(path, np.zeros(32_000, dtype=np.int16), 16_000)
    return path


def test_an_answer_takes_the_latency_of_its_audio_and_is_booked(audio: Path) -> None:
    with open_engine(pace=0.1) as engine:
        started_s = time.monotonic()
        words = ScriptedServiceTranscriber(engine.url, 5.0).transcribe(_request(audio)).words
        elapsed_s = time.monotonic() - started_s
        (call,) = engine.take_calls()
    assert len(words) == 5
    assert (call.audio_s, call.latency_s) == (2.0, pytest.approx(0.2))
    assert 0.2 <= call.ended_s - call.begun_s <= elapsed_s


def test_calls_are_taken_once(audio: Path) -> None:
    with open_engine() as engine:
        ScriptedServiceTranscriber(engine.url, 5.0).transcribe(_request(audio))
        assert len(engine.take_calls()) == 1
        assert engine.take_calls() == []


def test_diarizing_is_answered_and_not_booked(audio: Path) -> None:
    with open_engine(pace=0.1) as engine:
        request = DiarizationRequest(audio, (), None, None, None, lambda: None, "k")
        turns = ScriptedServiceDiarizer(engine.url, 5.0).diarize(request).turns
        assert [(turn.start_s, turn.end_s) for turn in turns] == [(0.0, 2.0)]
        assert engine.take_calls() == []


def _request(audio: Path) -> TranscriptionRequest:
    return TranscriptionRequest(audio, 2.0, "en", None, lambda: None, "k")
