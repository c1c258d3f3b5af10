"""The scripted engine: a pure function of the audio, a known cost, and bad moods that end."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import pytest

from chaos.engine_server import MAX_MISDEEDS, EngineState, Mood, answer_turns, answer_words, cost_s, open_engine
from chaos.ledger import Ledger, Outcome
from chaos.recordings import make_recording
from erni.engine_ports import TranscriptionRequest
from erni.engines.scripted_service import ScriptedServiceTranscriber
from erni.errors import EngineAnswerInvalid, EngineError, EngineRateLimited, EngineUnavailable
from erni.model import Recognition


@pytest.fixture
def engine() -> Iterator[tuple[str, EngineState]]:
    with open_engine(Ledger()) as (url, state):
        state.pace = 0.0
        yield url, state


@pytest.fixture(scope="module")
def recording(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_recording(tmp_path_factory.mktemp("recordings"), seed=1, number=0)


def transcribe(url: str, recording: Path, key: str = "k") -> Recognition:
    request = TranscriptionRequest(recording, 60.0, "en", None, lambda: None, key)
    return ScriptedServiceTranscriber(url, 0.5).transcribe(request)


def test_the_same_audio_has_the_same_words(engine: tuple[str, EngineState], recording: Path, tmp_path: Path) -> None:
    other = make_recording(tmp_path, seed=1, number=1)
    first, again, different = (transcribe(engine[0], path).words for path in (recording, recording, other))
    assert first == again
    assert not {word.text for word in first} & {word.text for word in different}


def test_a_recording_is_a_function_of_seed_and_number(tmp_path: Path, recording: Path) -> None:
    assert make_recording(tmp_path, seed=1, number=0).read_bytes() == recording.read_bytes()
    assert make_recording(tmp_path, seed=2, number=0).read_bytes() != recording.read_bytes()


def test_the_ledger_names_the_caller_and_the_key(engine: tuple[str, EngineState], recording: Path) -> None:
    url, state = engine
    transcribe(url, recording, "some-key")
    (call,) = state.ledger.calls()
    assert (call.pid, call.key, call.work, call.outcome) == (os.getpid(), "some-key", "transcribe", "paid")


def test_a_call_takes_what_it_costs(engine: tuple[str, EngineState], recording: Path) -> None:
    url, state = engine
    state.pace = 0.5
    started = time.monotonic()
    transcribe(url, recording)
    (call,) = state.ledger.calls()
    assert time.monotonic() - started >= 0.5 * cost_s(call.digest)


@pytest.mark.parametrize("digest", ["00", "7f", "ff"])
def test_costs_lie_between_the_cheapest_and_the_dearest(digest: str) -> None:
    assert 0.3 <= cost_s(digest) <= 1.0


@pytest.mark.parametrize(
    ("mood", "error", "outcome"),
    [
        ("429", EngineRateLimited, "refused"),
        ("500", EngineUnavailable, "refused"),
        ("time-out", EngineUnavailable, "hung"),
        ("cut", EngineUnavailable, "cut"),
        ("garbage", EngineAnswerInvalid, "garbled"),
    ],
)
def test_a_bad_mood_is_felt_a_few_times_per_key(
    engine: tuple[str, EngineState], recording: Path, mood: Mood, error: type[EngineError], outcome: Outcome
) -> None:
    url, state = engine
    state.mood = mood
    for _ in range(MAX_MISDEEDS):
        with pytest.raises(error):
            transcribe(url, recording)
    assert transcribe(url, recording).words
    deadline = time.monotonic() + 5
    while [call.outcome for call in state.ledger.calls()] != [outcome] * MAX_MISDEEDS + ["paid"]:
        assert time.monotonic() < deadline, state.ledger.calls()
        time.sleep(0.05)


def test_words_follow_each_other_within_the_audio() -> None:
    words = answer_words("0" * 64, 10.0)
    assert len(words) == 25
    assert words[-1]["end_s"] <= 10.0 + 1e-9
    assert all(before["end_s"] <= after["start_s"] + 1e-9 for before, after in pairwise(words))


@pytest.mark.parametrize("duration_s", [0.5, 6.0, 12.0, 12.5])
def test_turns_end_with_the_audio(duration_s: float) -> None:
    turns = answer_turns(duration_s)
    assert turns[0]["start_s"] == 0.0
    assert turns[-1]["end_s"] == duration_s
    assert all(turn["start_s"] < turn["end_s"] for turn in turns)
