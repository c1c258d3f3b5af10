"""What engines look like from inside: small Protocols, and the values they are asked with. Implementations live in
``engines``.

An engine makes one attempt per call. Faults are errors of the tree; whether and when there is another attempt, whether
a call may be made at all (limits, breakers) and what it costs are decided and recorded outside.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol, TypeVar, runtime_checkable

from erni.capabilities import DiarizerCapabilities, TranscriberCapabilities, VoiceprintCapabilities
from erni.model import Diarization, OneShotAnswer, Recognition, Span, Word
from erni.voices import Voices

Answer_co = TypeVar("Answer_co", covariant=True)


@dataclass(frozen=True, slots=True)
class TranscriptionRequest:
    """One chunk to transcribe, in the engine's ``upload_format``. ``checkpoint`` is called between pieces of work and
    raises to stop it.

    Without a ``language`` the engine finds it out; where it is not sure, ``likely_language`` counts: the one other
    chunks of the recording are in. ``key`` names the work by its content: equal for every attempt at it, so that a
    service can tell a repetition.
    """

    audio: Path
    duration_s: float
    language: str | None
    prompt: str | None
    checkpoint: Callable[[], None]
    key: str = ""
    likely_language: str | None = None
    keywords: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class DiarizationRequest:
    """A whole recording (16 kHz mono FLAC) to diarize; ``speech`` is what VAD found in it already."""

    audio: Path
    speech: Sequence[Span]
    num_speakers: int | None
    min_speakers: int | None
    max_speakers: int | None
    checkpoint: Callable[[], None]
    key: str = ""
    known_voices: tuple[RemoteVoice, ...] = ()


@dataclass(frozen=True, slots=True)
class RemoteVoice:
    """A known voice in a vendor's own form: ``label`` is what its answer calls it, ``voiceprint`` is theirs to read."""

    label: str
    voiceprint: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class OneShotRequest:
    """A whole recording (16 kHz mono FLAC) for an engine that finds words and speakers in one call."""

    audio: Path
    duration_s: float
    language: str | None
    prompt: str | None
    num_speakers: int | None
    checkpoint: Callable[[], None]
    key: str = ""


@dataclass(frozen=True, slots=True)
class EmbeddingRequest:
    """A chunk's audio (16 kHz mono), which begins at ``offset_s`` of the recording. ``speech`` is what of it is the
    chunk's own speech, on the recording's clock.
    """

    audio: Path
    offset_s: float
    speech: Sequence[Span]
    checkpoint: Callable[[], None]


@dataclass(frozen=True, slots=True)
class ClusteringRequest:
    """The voices of a whole recording, to be told apart; an exact count wins over the bounds."""

    voices: Voices
    num_speakers: int | None
    min_speakers: int | None
    max_speakers: int | None


class Transcriber(Protocol):
    """Turns a chunk of speech into words."""

    @property
    def capabilities(self) -> TranscriberCapabilities: ...

    def load(self) -> None:
        """Load what the first call would load, so that the first job does not wait for it. May run twice."""

    def transcribe(self, request: TranscriptionRequest) -> Recognition:
        """Words with times from the start of the chunk.

        Raises:
            EngineError: the engine is out, refuses the chunk or answers nonsense.
            JobStopped: the checkpoint said so.
        """


@dataclass(frozen=True, slots=True)
class AlignmentRequest:
    """The words of a chunk that want times; those they have mean nothing. ``places`` says of each word between which
    times it was said, give or take a second (those of its segment, where there are some), or is empty. ``speech`` is
    what of the chunk is speech. All on the chunk's clock.
    """

    audio: Path
    duration_s: float
    words: Sequence[Word]
    places: Sequence[Span]
    language: str | None
    speech: Sequence[Span]
    checkpoint: Callable[[], None]


class Aligner(Protocol):
    """Finds out when each word of a given text was said."""

    @property
    def fingerprint(self) -> str:
        """What decides its answers: part of the key of cached results."""

    def align(self, request: AlignmentRequest) -> tuple[Word, ...]:
        """The same words with times from the start of the chunk, in order; each says whether its were found
        (``aligned``) or guessed (``estimated``).

        Raises:
            EngineError: as for a transcriber.
            JobStopped: the checkpoint said so.
        """


class Diarizer(Protocol):
    """Finds who speaks when, in one of the two ways below."""

    @property
    def capabilities(self) -> DiarizerCapabilities: ...

    def load(self) -> None:
        """Load what the first call for audio would load. May run twice."""


@runtime_checkable
class WholeDiarizer(Diarizer, Protocol):
    """Wants the recording in one piece."""

    def diarize(self, request: DiarizationRequest) -> Diarization:
        """Turns with times from the start of the recording; speakers under the engine's own labels.

        Raises:
            EngineError: as for a transcriber.
            JobStopped: the checkpoint said so.
        """


@runtime_checkable
class ChunkedDiarizer(Diarizer, Protocol):
    """Listens to each chunk by itself, beside its transcription, and tells the voices apart when all were heard."""

    def embed(self, request: EmbeddingRequest) -> Voices:
        """How the voices of one chunk sound.

        Raises:
            EngineError: as for a transcriber.
            StorageFull: there is no room for those of many hours.
            JobStopped: the checkpoint said so.
        """

    def load_clustering(self) -> None:
        """Load what the first ``cluster`` would load. May run twice, and in a process that never embeds."""

    def cluster(self, request: ClusteringRequest) -> Diarization:
        """Turns as from a ``WholeDiarizer``. Needs no audio and no model.

        Raises:
            EngineError: the voices cannot be told apart.
        """


class RemoteJobs(Protocol[Answer_co]):
    """An engine that works on its own time: a job is submitted there, and its answer collected when it is there."""

    def collect(self, remote_id: str) -> Answer_co | None:
        """The answer of a submitted job, or ``None`` while it is not over.

        Raises:
            RemoteJobLost: the vendor has no such job (any more), or threw its answer away: submit anew.
            RemoteJobAborted: as before; it never began, and is not billed.
            RemoteJobFailed: the job failed over there, or was cancelled; says what it is billed with.
            EngineError: as for a transcriber; asking again may help.
        """

    def find_submitted(self, key: str) -> str | None:
        """The id of the job an earlier ``submit`` with this key made although its answer was lost; ``None`` where there
        is none, or the vendor's API cannot tell.

        Raises EngineError.
        """


@runtime_checkable
class RemoteDiarizer(Diarizer, RemoteJobs[Diarization], Protocol):
    """Diarizes a whole recording elsewhere, and scores known voices where it was given some."""

    def submit(self, request: DiarizationRequest, callback_url: str | None) -> str:
        """Send the recording and begin; returns the vendor's id of the job, at most 64 characters.

        With a ``callback_url`` the vendor calls it when the job is over. Raises as a transcriber.
        """


class VoiceprintMaker(RemoteJobs[str], Protocol):
    """Makes a vendor's own form of a voiceprint from a short recording of one speaker (16 kHz mono FLAC)."""

    @property
    def capabilities(self) -> VoiceprintCapabilities: ...

    def submit(self, audio: Path, key: str, callback_url: str | None) -> str:
        """As ``RemoteDiarizer.submit``."""


class OneShotEngine(RemoteJobs[OneShotAnswer], Protocol):
    """Finds words and speakers of a whole recording in one remote job."""

    @property
    def capabilities(self) -> TranscriberCapabilities: ...

    def submit(self, request: OneShotRequest, callback_url: str | None) -> str:
        """As ``RemoteDiarizer.submit``."""

    def cancel(self, remote_id: str) -> None:
        """Have the vendor stop a job it is at; ``collect`` then tells what it cost. One that is over stays as it is.

        Raises as ``collect``.
        """
