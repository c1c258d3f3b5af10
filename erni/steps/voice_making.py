"""Making a voiceprint on a worker: from what was left for it to what each engine knows the voice by."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import structlog

from erni import blob_paths, codec
from erni.engine_ports import ChunkedDiarizer, ClusteringRequest, EmbeddingRequest, VoiceprintMaker
from erni.errors import (
    BlobNotFound,
    EngineRejected,
    RemoteJobLost,
    WorkHandedBack,
    WorkPostponed,
)
from erni.identifying import sole_spans, sound_like_several, speaker_centroids
from erni.media.audio import read_pcm
from erni.media.excerpts import first_seconds, write_excerpt
from erni.media.vad import SpeechDetector
from erni.model import Span, Turn
from erni.services import Services
from erni.speaker_voices import dump_speaker_voices, sole_voice, voice_form
from erni.steps.running import work_dir
from erni.voiceprints import Voiceprint

log = structlog.get_logger(__name__)

LEAST_SPEECH_S: Final = 3.0
MOST_SPEECH_S: Final = 120.0
"""More tells nothing new of a voice."""
MOST_REMOTE_S: Final = 30.0
"""What pyannote.ai takes."""
POLL_S: Final = 10.0


@dataclass(frozen=True, slots=True)
class Sample:
    """Canonical audio, and the speech in it that counts."""

    audio: Path
    speech: tuple[Span, ...]


def make_prints(services: Services, voiceprint: Voiceprint) -> None:
    """Have every engine that can know the voice know it; those that do already are not asked again.

    Raises:
        EngineRejected: no voice can be enrolled from this; the message says why.
        InputError: the recording cannot be decoded.
        WorkPostponed, WorkHandedBack: it is to be tried again.
        ErniError: an engine, records or blobs are away.
    """
    listener = find_listener(services)
    if listener is None and not services.voiceprint_makers:
        raise EngineRejected("No engine of this installation can know a voice. Install erni[local].")
    known = set(voiceprint.engines)
    is_unheard = listener is not None and listener_form(listener) not in known
    makers = [maker for maker in services.voiceprint_makers.values() if maker.engine not in known]
    running = [_remote_id(services, voiceprint, maker) for maker in makers]
    if not is_unheard and all(running):
        # Nothing to listen to: their jobs have the recording.
        _collect_all(services, voiceprint, makers)
        return
    with _sample(services, voiceprint.voiceprint_id) as sample:
        if is_unheard and listener is not None:
            _hear(services, voiceprint, listener, sample)
        for maker in makers:
            _submit(services, voiceprint, maker, sample)
    _collect_all(services, voiceprint, makers)


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


def _submit(services: Services, voiceprint: Voiceprint, maker: VoiceprintMaker, sample: Sample) -> None:
    """Begin the vendor's job, unless one is at work already, maybe one whose submission we could not note."""
    if _remote_id(services, voiceprint, maker) is not None:
        return
    key = f"voiceprint:{voiceprint.voiceprint_id}"
    remote_id = maker.find_submitted(key)
    if remote_id is None:
        excerpt = sample.audio.with_name("excerpt.flac")
        write_excerpt(sample.audio, first_seconds(sample.speech, MOST_REMOTE_S), excerpt)
        remote_id = maker.submit(excerpt, key, None)
    services.voiceprints.put_remote_id(voiceprint.voiceprint_id, maker.engine, remote_id)
    log.info("voiceprint_submitted", engine=maker.engine)


def _collect_all(services: Services, voiceprint: Voiceprint, makers: list[VoiceprintMaker]) -> None:
    """Raises WorkPostponed while one of them is not over."""
    waiting = [maker for maker in makers if not _collect(services, voiceprint, maker)]
    if waiting:
        providers = [maker.engine.partition("/")[0] for maker in waiting]
        poll_s = min(services.limits.remote.poll_s.get(provider, POLL_S) for provider in providers)
        raise WorkPostponed(f"{', '.join(providers)} is at work on the voiceprint.", retry_after_s=poll_s)


def _collect(services: Services, voiceprint: Voiceprint, maker: VoiceprintMaker) -> bool:
    """Keep what the vendor made, if it is there; returns whether. Raises EngineUnavailable when its job is lost."""
    remote_id = _remote_id(services, voiceprint, maker)
    try:
        made = maker.collect(remote_id) if remote_id is not None else None
    except RemoteJobLost:
        services.voiceprints.put_remote_id(voiceprint.voiceprint_id, maker.engine, None)
        raise
    if made is None:
        return False
    services.voiceprints.put_print(voiceprint.voiceprint_id, maker.engine, made.encode())
    return True


def _remote_id(services: Services, voiceprint: Voiceprint, maker: VoiceprintMaker) -> str | None:
    return services.voiceprints.find_remote_id(voiceprint.voiceprint_id, maker.engine)


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
