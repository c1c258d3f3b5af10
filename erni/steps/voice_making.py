"""Making a voiceprint on a worker: from what was left for it to what each engine knows the voice by."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import structlog

from erni import blob_paths, codec
from erni.engine_ports import ChunkedDiarizer, ClusteringRequest, EmbeddingRequest
from erni.errors import (
    BlobNotFound,
    EngineRejected,
    WorkHandedBack,
    WorkPostponed,
)
from erni.identifying import sole_spans, sound_like_several, speaker_centroids
from erni.media.audio import read_pcm
from erni.media.excerpts import Sample, first_seconds, write_excerpt
from erni.media.vad import SpeechDetector
from erni.model import Span, Turn
from erni.services import Services
from erni.speaker_voices import dump_speaker_voices, sole_voice, voice_form
from erni.steps.running import work_dir
from erni.steps.voice_vendors import VendorPrint, find_vendor_prints
from erni.voiceprints import Voiceprint

log = structlog.get_logger(__name__)

LEAST_SPEECH_S: Final = 3.0
MOST_SPEECH_S: Final = 120.0
"""More tells nothing new of a voice."""


def make_prints(services: Services, voiceprint: Voiceprint) -> None:
    """Have every engine that can know the voice know it; those that do already, or were given up, are not asked again.

    Raises:
        EngineRejected: no voice can be enrolled from this; the message says why.
        InputError: the recording cannot be decoded.
        WorkPostponed, WorkHandedBack: it is to be tried again.
        ErniError: an engine, records or blobs are away.
    """
    listener = find_listener(services)
    if listener is None and not services.voiceprint_makers:
        raise EngineRejected("No engine of this installation can know a voice. Install erni[local].")
    is_unheard = listener is not None and listener_form(listener) not in voiceprint.engines
    vendors = find_vendor_prints(services, voiceprint)
    if not is_unheard and all(one.making.remote_id is not None for one in vendors):
        # Nothing to listen to: their jobs have the recording.
        _advance_all(vendors, None)
        return
    with _sample(services, voiceprint.voiceprint_id) as sample:
        if is_unheard and listener is not None:
            _hear(services, voiceprint, listener, sample)
        _advance_all(vendors, sample)


def _advance_all(vendors: Sequence[VendorPrint], sample: Sample | None) -> None:
    """Raises WorkPostponed while one of them is not over."""
    waits = [wait for one in vendors if (wait := one.advance(sample)) is not None]
    if waits:
        message = " ".join(wait.message for wait in waits)
        raise WorkPostponed(message, retry_after_s=min(wait.retry_after_s or 0.0 for wait in waits))


def find_listener(services: Services) -> ChunkedDiarizer | None:
    """The installation's own voice model."""
    return next((one for one in services.diarizers.values() if isinstance(one, ChunkedDiarizer)), None)


def listener_form(listener: ChunkedDiarizer) -> str:
    return voice_form(listener.capabilities.engine, listener.capabilities.model)


def _hear(services: Services, voiceprint: Voiceprint, listener: ChunkedDiarizer, sample: Sample) -> None:
    request = EmbeddingRequest(sample.audio, 0.0, sample.speech, _checkpoint(services))
    voices = listener.embed(request)
    if not len(voices.windows):
        raise EngineRejected("No voice was heard in this recording.")
    # Parted in two by force, because without a count the clustering would rather leave two like voices together.
    parts = listener.cluster(ClusteringRequest(voices, 2, None, None))
    if sound_like_several(speaker_centroids(voices, parts.turns)):
        raise EngineRejected("Several voices were heard in this recording. Send one in which only this person talks.")
    content = dump_speaker_voices(sole_voice(voices))
    services.voiceprints.put_print(voiceprint.voiceprint_id, listener_form(listener), content)


@contextmanager
def _sample(services: Services, voiceprint_id: str) -> Iterator[Sample]:
    """The one voice's audio, decoded. Raises EngineRejected when there is too little speech in it."""
    with work_dir(services) as directory:
        audio = directory / "audio.flac"
        speech = _obtain(services, voiceprint_id, audio)
        speech_s = sum(span.duration_s for span in speech)
        if speech_s < LEAST_SPEECH_S:
            raise EngineRejected(
                f"Only {speech_s:.1f} s of speech were found. At least {LEAST_SPEECH_S:g} s of one voice are needed."
            )
        yield Sample(audio, first_seconds(speech, MOST_SPEECH_S))


def _obtain(services: Services, voiceprint_id: str, audio: Path) -> tuple[Span, ...]:
    """Write canonical audio of the one voice to ``audio``; returns the speech in it."""
    try:
        asked = json.loads(services.blobs.get_bytes(blob_paths.voiceprint_speaker(voiceprint_id)))
    except BlobNotFound:
        return _decode(services, blob_paths.voiceprint_audio(voiceprint_id), audio)
    whole = audio.with_name("recording.flac")
    with _recording(services, asked["job_id"], whole) as recording:
        write_excerpt(recording, _speaker_spans(services, asked["job_id"], asked["speaker"]), audio)
    detector = SpeechDetector()
    detector.feed(read_pcm(audio, Span(0.0, MOST_SPEECH_S)))
    return detector.finish()


@contextmanager
def _recording(services: Services, job_id: str, decoded: Path) -> Iterator[Path]:
    """A job's canonical audio. A job that was answered by an earlier one has none of its own, but the upload."""
    path = blob_paths.canonical_audio(job_id)
    if services.blobs.exists(path):
        with services.blobs.local_copy(path) as audio:
            yield audio
        return
    _decode(services, blob_paths.source(job_id), decoded)
    yield decoded


def _decode(services: Services, path: str, audio: Path) -> tuple[Span, ...]:
    detector = SpeechDetector()
    with services.blobs.local_copy(path) as source:
        services.decoder.decode(source, audio, detector.feed, _checkpoint(services))
    return detector.finish()


def _speaker_spans(services: Services, job_id: str, speaker: str) -> tuple[Span, ...]:
    """Where the transcript has this speaker and nobody else."""
    with services.blobs.local_copy(blob_paths.transcript(job_id)) as file, file.open("rb") as opened:
        segments = codec.read_transcript(opened).segments
        turns = [Turn(one.start_s, one.end_s, one.speaker) for one in segments if one.speaker is not None]
    return first_seconds(sole_spans(turns, speaker, MOST_SPEECH_S), MOST_SPEECH_S)


def _checkpoint(services: Services) -> Callable[[], None]:
    def checkpoint() -> None:
        if services.is_draining():
            raise WorkHandedBack("The worker is shutting down.")

    return checkpoint
