"""Every door outward, on one page. Implementations live in ``engines``, ``stores`` and the entrances."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Literal, Protocol, runtime_checkable

from erni.jobs import Job, JobFields, JobStatus, Piece, Savings, Step, StepKind
from erni.keys import ApiKey
from erni.model import Diarization, Recognition, Span
from erni.voices import Voices


@dataclass(frozen=True, slots=True)
class TranscriberCapabilities:
    """What a transcriber can do, as data. The planner and the option check read this; nothing else knows models.

    ``languages`` holds ISO 639-1 codes, or is ``None`` when the model does any language it is asked for.
    ``audio_format`` is the encoding it wants chunks in (a name ``media.audio`` can write). ``fingerprint`` is what
    besides the model decides its answers (library, version, precision, beam): part of the key of cached results.
    """

    engine: str
    model: str
    languages: frozenset[str] | None
    audio_format: str = "flac"
    target_chunk_s: float | None = None
    max_chunk_s: float | None = None
    has_prompt: bool = True
    grade: Literal["demo", "production"] = "production"
    fingerprint: str = ""
    usd_per_minute: float = 0.0


@dataclass(frozen=True, slots=True)
class DiarizerCapabilities:
    """What a diarizer can do, as data. ``fingerprint`` and price as for a transcriber."""

    engine: str
    model: str
    has_speaker_count: bool = True
    max_speakers: int | None = None
    fingerprint: str = ""
    usd_per_minute: float = 0.0


@dataclass(frozen=True, slots=True)
class TranscriptionRequest:
    """One chunk to transcribe. ``checkpoint`` is called between pieces of work and raises to stop it.

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
            JobStopped: the checkpoint said so.
        """

    def load_clustering(self) -> None:
        """Load what the first ``cluster`` would load. May run twice, and in a process that never embeds."""

    def cluster(self, request: ClusteringRequest) -> Diarization:
        """Turns as from a ``WholeDiarizer``. Needs no audio and no model.

        Raises:
            EngineError: the voices cannot be told apart.
        """


class JobStore(Protocol):
    """Jobs and their steps: the truth. Every method may raise StorageError."""

    def add(self, job: Job) -> Job:
        """Record a new job. Where the tenant has one with the same idempotency key, return that one instead."""

    def get(self, job_id: str, *, tenant: str | None = None) -> Job:
        """Raises JobNotFound, also when the job belongs to another tenant."""

    def list_jobs(
        self, tenant: str, *, limit: int, after: str | None = None, status: JobStatus | None = None
    ) -> Sequence[Job]:
        """Newest first; ``after`` is the job id that ended the page before."""

    def advance(self, job_id: str, to: JobStatus, fields: JobFields | None = None) -> bool:
        """Move to ``to`` if the present state allows it (``MOVES_INTO``), in one atomic statement.

        Returns whether this call made the move. Whoever moved it acts on it.
        """

    def update(self, job_id: str, fields: JobFields) -> None:
        """Set columns without a move. A job that is gone is not an error."""

    def delete(self, job_id: str) -> None:
        """Remove the job and its steps. A job that is gone is not an error."""

    def begin_step(self, job_id: str, piece: Piece) -> Step:
        """Count a delivery and mark the step running, unless it is over. Returns it as it is then.

        Raises:
            JobNotFound: the job is gone.
        """

    def release_step(self, job_id: str, piece: Piece) -> None:
        """Take back the count of a delivery whose worker returned, without a result but alive."""

    def save_step(self, step: Step) -> None:
        """Record how a running step stands: its engine, attempts, failures and when it is tried again.

        A step that is over stays as it is. The caller holds the piece of work: no one else writes it meanwhile.
        """

    def finish_step(self, step: Step) -> None:
        """Record how a step ended. The first end stays: a second call changes nothing."""

    def forget_steps(self, job_id: str, pieces: Sequence[Piece]) -> None:
        """Remove these steps, so that their work may begin anew with all attempts."""

    def find_step(self, job_id: str, piece: Piece) -> Step | None:
        """The step, or ``None`` when no worker began it."""

    def steps(self, job_id: str) -> Sequence[Step]:
        """All steps begun so far, by kind and part."""

    def claim(self, job: Job) -> bool:
        """Set ``updated_at`` to now if it still is what ``job`` says; returns whether this call did.

        Of several that saw the same state of a job, one claims it and acts.
        """

    def count_active(self, tenant: str) -> int:
        """How many of a tenant's jobs are in one of ``ACTIVE_STATUSES``."""

    def oldest_queued(self, tenant: str, *, limit: int) -> Sequence[Job]:
        """The tenant's jobs that are ``queued``, oldest first."""

    def unfinished(self) -> Iterator[Job]:
        """Every job that is not over, oldest first."""

    def finished_before(self, moment: datetime) -> Iterator[Job]:
        """Every job that was over before ``moment``."""

    def count_by_status(self) -> dict[JobStatus, int]: ...

    def existing(self, job_ids: Sequence[str]) -> set[str]:
        """Which of these jobs are recorded."""

    def ping(self) -> None:
        """Raises StorageError when the store cannot be used."""


class KeyStore(Protocol):
    """API keys, by the hash of their token."""

    def add_key(self, key: ApiKey) -> bool:
        """Record a key; False when its hash is already there."""

    def find_key(self, token_hash: str) -> ApiKey | None:
        """The key, unless unknown or revoked."""

    def list_keys(self) -> Sequence[ApiKey]: ...

    def revoke_key(self, key_id: str, at: datetime) -> bool:
        """False when there is no such key or it was revoked before."""


class BlobStore(Protocol):
    """Bytes by path. Writes are whole or not at all. Every method may raise StorageError."""

    def put_file(self, path: str, local: Path) -> None:
        """Store a local file; the local file is consumed (moved where possible, else copied and removed)."""

    def put_bytes(self, path: str, content: bytes) -> None: ...

    def get_bytes(self, path: str) -> bytes:
        """Raises BlobNotFound."""

    def exists(self, path: str) -> bool: ...

    def copy(self, path: str, to: str) -> None:
        """Store the same bytes under another path; a directory shares them. Raises BlobNotFound."""

    def local_copy(self, path: str) -> AbstractContextManager[Path]:
        """A readable local file: the blob itself where it is one, else a temporary copy. Raises BlobNotFound."""

    def delete_tree(self, root: str) -> int:
        """Remove everything below ``root``; returns how many blobs there were."""

    def list_roots(self, root: str) -> Iterator[tuple[str, datetime]]:
        """The names directly below ``root`` and when each was last changed."""

    def remove_stale_temporaries(self, older_than: datetime) -> int:
        """Remove what writers that died left half written; returns how many."""

    def ping(self) -> None: ...


class StageMeter(Protocol):
    """Counts seconds over all processes and hosts. Never raises: a lost count must not lose work."""

    def observe_stage(self, stage: str, elapsed_s: float) -> None: ...

    def observe_job(self, status: str, audio_s: float, elapsed_s: float) -> None: ...

    def observe_cache(self, lookup: CacheLookup) -> None: ...


@dataclass(frozen=True, slots=True)
class CacheLookup:
    """One look into the stage cache: a miss without ``savings``, else a hit of so many stored bytes."""

    stage: str
    size_bytes: int = 0
    savings: Savings | None = None


class StageCache(Protocol):
    """Results of stages by the key of their content. Losing it costs time, never correctness, and raises nothing."""

    def get(self, key: str, *, job_id: str) -> bytes | None:
        """What was put there, and from now on the job's as well. Anything unreadable counts as absent."""

    def has(self, key: str) -> bool: ...

    def put(self, key: str, content: bytes, *, ttl_s: float, job_id: str) -> None:
        """Keep ``content`` for at most ``ttl_s`` as an entry of this job."""

    def delete_job(self, job_id: str) -> int:
        """Remove every entry the job put or got; returns how many there were.

        Raises:
            QueueUnavailable: they cannot be removed now.
        """


class Flights(Protocol):
    """Work under way, by key, over all hosts: of equal pieces of work one is done at a time."""

    def hold(self, key: str) -> AbstractContextManager[None]:
        """Hold the key while inside; a holder that dies loses it within seconds.

        Raises:
            WorkInFlight: another one holds it.
            QueueUnavailable: nobody can tell.
        """


@dataclass(frozen=True, slots=True)
class Lane:
    """A message for work of this ``kind`` on ``chunk``, which goes on with those that wait (``WaitingChunks``)."""

    kind: StepKind
    chunk: int


@dataclass(frozen=True, slots=True)
class FanOut:
    """A job's pieces to send. With ``diarize`` the whole recording is a piece as well.

    With ``is_long`` that piece, and the join, go to the queue of long work.
    """

    lanes: tuple[Lane, ...]
    diarize: bool = False
    is_long: bool = False


class WaitingChunks(Protocol):
    """The chunks of a job that no lane has taken yet. Every method may raise QueueUnavailable."""

    def put(self, job_id: str, kind: StepKind, chunks: Sequence[int]) -> None:
        """Have these wait, in this order, and no others."""

    def take(self, job_id: str, kind: StepKind) -> int | None:
        """The next one, which nobody else gets; ``None`` when none is left or known."""


class JobQueue(Protocol):
    """Sends work to the workers, by name. Messages carry a job id and at most small numbers."""

    def send_prepare(self, job_id: str, *, is_long: bool = False) -> None:
        """``is_long`` sends it to the queue of long work. Raises QueueUnavailable."""

    def send_fan_out(self, job_id: str, fan_out: FanOut) -> None:
        """One flat chord: the lanes, the diarization beside them, then finish. Raises QueueUnavailable."""

    def send_finish(self, job_id: str, *, is_long: bool = False) -> None:
        """Raises QueueUnavailable."""


class QueueWatch(Protocol):
    """Looks into the queue without taking anything out."""

    def jobs_in_queue(self) -> set[str]:
        """Ids of jobs that some message, waiting or held by a worker, refers to. Raises QueueUnavailable."""

    def count_processes(self, kind: StepKind) -> int:
        """Processes of living workers that take this kind of piece, 0 when none is known. Never raises."""
