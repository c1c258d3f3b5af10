"""pyannote.ai: who speaks when, known voices, and their voiceprints. Jobs there hold no worker here.

What a job costs no answer says: the price of its audio, with the least that is billed, is in the capabilities.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Final

import soundfile

from erni.capabilities import DiarizerCapabilities, VoiceprintCapabilities
from erni.engine_ports import DiarizationRequest
from erni.engines.pyannote_answers import (
    NAME,
    read_elapsed_s,
    read_output,
    read_scores,
    read_turns,
    read_voiceprint,
)
from erni.engines.pyannote_connection import PyannoteConnection
from erni.engines.uploads import file_size_bytes
from erni.errors import EngineRejected, UnreadableMedia
from erni.model import Diarization

MAX_LABEL_CHARS: Final = 100
RESERVED_LABEL: Final = "speaker_"
VOICEPRINT_MODEL: Final = "precision-2"
MAX_VOICEPRINT_AUDIO_S: Final = 30.0
MAX_VOICEPRINT_AUDIO_BYTES: Final = 100 * 1024**2


@dataclass(frozen=True, slots=True)
class PyannoteDiarizer:
    """RemoteDiarizer over one of its models."""

    connection: PyannoteConnection
    capabilities: DiarizerCapabilities

    def load(self) -> None:
        """Nothing to load."""

    def submit(self, request: DiarizationRequest, callback_url: str | None) -> str:
        """Upload, and begin a diarization; an identification where there are known voices.

        Raises:
            EngineRejected: the recording is longer, or even as Opus larger, than it takes.
            EngineError: as ``HttpService.post_file``.
            UnreadableMedia: it is no audio.
            StorageError: the audio cannot be read.
            JobStopped: the checkpoint said so; nothing is paid for then.
            ValueError: more known voices than the model takes in one call, or labels it would refuse.
        """
        _check_voices(request, self.capabilities.max_voiceprints)
        request.checkpoint()
        _check_length(request.audio, self.capabilities.max_audio_s)
        media = self.connection.upload(request.audio, request.key, request.checkpoint, self.capabilities.max_bytes)
        path = "/v1/identify" if request.known_voices else "/v1/diarize"
        return self.connection.submit(path, build_body(media, self.capabilities.model, request), callback_url)

    def collect(self, remote_id: str) -> Diarization | None:
        job = self.connection.read_job(remote_id)
        output = read_output(job)
        if output is None:
            return None
        return Diarization(
            self.capabilities.engine,
            self.capabilities.model,
            read_turns(output),
            engine_s=read_elapsed_s(job),
            scores=read_scores(output),
        )

    def find_submitted(self, key: str) -> str | None:
        """Never: its list of jobs has nothing of ours in it, only ids, states and times."""
        del key
        return None

    def probe(self) -> None:
        """Whether it answers, and accepts our key. Raises EngineError."""
        self.connection.probe()


@dataclass(frozen=True, slots=True)
class PyannoteVoiceprints:
    """VoiceprintMaker over pyannote.ai. The voiceprints are texts, kept here and sent along with each question."""

    connection: PyannoteConnection
    capabilities: VoiceprintCapabilities

    def submit(self, audio: Path, key: str, callback_url: str | None) -> str:
        """Begin a voiceprint of at most 30 s of one speaker.

        Raises:
            EngineRejected: the audio is longer, or too large.
            EngineError: as ``HttpService.post_file``.
            UnreadableMedia: it is no audio.
            StorageError: it cannot be read.
        """
        _check_sample(audio)
        media = self.connection.upload(audio, key, _go_on)
        return self.connection.submit("/v1/voiceprint", {"url": media, "model": VOICEPRINT_MODEL}, callback_url)

    def collect(self, remote_id: str) -> str | None:
        output = read_output(self.connection.read_job(remote_id))
        return None if output is None else read_voiceprint(output)

    def find_submitted(self, key: str) -> str | None:
        """Never, as for diarizations."""
        del key
        return None

    def probe(self) -> None:
        """Whether it answers, and accepts our key. Raises EngineError."""
        self.connection.probe()


def build_body(media: str, model: str, request: DiarizationRequest) -> dict[str, object]:
    """What to ask for: an exact count goes before bounds; turns that do not overlap beside those that do.

    The threshold is 0 to 100 there; at 0 it names the likeliest voice for everyone and tells how likely it is, so that
    who is a stranger is decided here. ``exclusive`` inside ``matching`` is another thing: one voice for one speaker.
    """
    counts: dict[str, int | None] = {"numSpeakers": request.num_speakers}
    if request.num_speakers is None:
        counts = {"minSpeakers": request.min_speakers, "maxSpeakers": request.max_speakers}
    body: dict[str, object] = {"url": media, "model": model, "exclusive": True}
    body |= {name: count for name, count in counts.items() if count is not None}
    if request.known_voices:
        body["voiceprints"] = [{"label": voice.label, "voiceprint": voice.voiceprint} for voice in request.known_voices]
        body["matching"] = {"threshold": 0, "exclusive": True}
    return body


def _check_voices(request: DiarizationRequest, max_voiceprints: int) -> None:
    labels = [voice.label for voice in request.known_voices]
    if len(labels) > max_voiceprints:
        raise ValueError(f"{len(labels)} known voices in one call; the model takes {max_voiceprints}")
    if len(set(labels)) < len(labels):
        raise ValueError("two known voices with one label")
    if any(not 0 < len(label) <= MAX_LABEL_CHARS or label.lower().startswith(RESERVED_LABEL) for label in labels):
        raise ValueError(f"a label must have 1 to {MAX_LABEL_CHARS} characters and not begin with {RESERVED_LABEL!r}")


def _check_length(audio: Path, max_audio_s: float | None) -> None:
    if max_audio_s is None:
        return
    file_size_bytes(audio)  # Says that the file is gone, where it is.
    duration_s = _duration_s(audio)
    if duration_s > max_audio_s:
        raise EngineRejected(f"The recording lasts {duration_s:g} s; {NAME} takes {max_audio_s:g} s at most.")


def _duration_s(audio: Path) -> float:
    """Raises UnreadableMedia."""
    try:
        return float(soundfile.info(audio).duration)
    except soundfile.LibsndfileError as error:
        raise UnreadableMedia("The recording, or the sample of a voice, is no audio, or it is damaged.") from error


def _check_sample(audio: Path) -> None:
    duration_s = _duration_s(audio)
    if duration_s > MAX_VOICEPRINT_AUDIO_S:
        raise EngineRejected(
            f"{NAME} makes voiceprints of at most {MAX_VOICEPRINT_AUDIO_S:g} s, not {duration_s:.1f} s."
        )
    if file_size_bytes(audio) > MAX_VOICEPRINT_AUDIO_BYTES:
        raise EngineRejected(f"{NAME} makes voiceprints of at most {MAX_VOICEPRINT_AUDIO_BYTES} bytes.")


def _go_on() -> None:
    """A sample is short: nothing stops its upload."""
