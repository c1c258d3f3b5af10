"""How far a job is and where its time went, from its record and its steps. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from erni.jobs import Job, JobStatus, Step, StepKind

PREPARED_FRACTION: Final = 0.1
PROCESSED_FRACTION: Final = 0.95
_DIARIZE_SHARE: Final = 0.4
"""Of the work between prepared and processed, where there is a diarizer; transcription has the rest. Measured on local
engines."""


@dataclass(frozen=True, slots=True)
class Waiting:
    """A piece of work failed for now; it is tried again at ``until``."""

    until: datetime
    because: str


@dataclass(frozen=True, slots=True)
class Reuse:
    """How many pieces of each kind earlier results answered, and what that spared.

    ``job`` is 1 where an earlier transcript answered for the whole job.
    """

    prepare: int = 0
    transcribe: int = 0
    embed: int = 0
    diarize: int = 0
    job: int = 0
    engine_s: float = 0.0
    usd: float = 0.0


@dataclass(frozen=True, slots=True)
class Progress:
    """``stage`` is what is being worked on now, ``fraction`` 0-1, ``timings`` seconds by stage.

    Of several pieces that wait, ``waiting`` is the one tried again first.
    """

    stage: str | None
    fraction: float
    chunks_total: int
    chunks_done: int
    timings: dict[str, float]
    waiting: Waiting | None
    reused: Reuse


def describe_progress(job: Job, steps: Sequence[Step], now: datetime) -> Progress:
    """Derive everything shown of a job's advance; nothing of it is stored, so nothing of it can be wrong."""
    chunks = [step for step in steps if step.kind in (StepKind.TRANSCRIBE, StepKind.ONE_SHOT)]
    done = sum(step.is_over for step in chunks)
    total = job.chunks_total or 0
    diarized = _diarized_share(steps, total)
    return Progress(
        stage=_stage(job, done < total),
        fraction=_fraction(job, done, diarized),
        chunks_total=total,
        chunks_done=done,
        timings=_timings(job, steps, now),
        waiting=_waiting(job, steps, now),
        reused=_reused(steps),
    )


def _stage(job: Job, chunks_remain: bool) -> str | None:  # noqa: FBT001  # private, one caller
    if job.status.is_over:
        return None
    if job.status is JobStatus.PROCESSING:
        return "transcribe" if chunks_remain else "diarize"
    return {JobStatus.QUEUED: "queue", JobStatus.PREPARING: "prepare", JobStatus.JOINING: "join"}[job.status]


def _diarized_share(steps: Sequence[Step], chunks_total: int) -> float:
    """Of the diarization: all of it, or the chunks whose voices were heard."""
    if any(step.kind is StepKind.DIARIZE and step.is_over for step in steps):
        return 1.0
    heard = sum(step.kind is StepKind.EMBED and step.is_over for step in steps)
    return heard / chunks_total if chunks_total else 0.0


def _fraction(job: Job, done: int, diarized: float) -> float:
    if job.status.is_over:
        return 1.0
    if job.status is JobStatus.JOINING:
        return PROCESSED_FRACTION
    if job.status is not JobStatus.PROCESSING:
        return 0.0
    share = _DIARIZE_SHARE if job.options.diarizer else 0.0
    transcribed = done / job.chunks_total if job.chunks_total else 1.0
    processed = (1 - share) * transcribed + share * diarized
    return round(PREPARED_FRACTION + (PROCESSED_FRACTION - PREPARED_FRACTION) * processed, 4)


def _waiting(job: Job, steps: Sequence[Step], now: datetime) -> Waiting | None:
    if job.status.is_over:
        return None
    waiting = [
        Waiting(step.retry_at, step.reason or "It failed for now.")
        for step in steps
        if not step.is_over and step.retry_at is not None and step.retry_at > now
    ]
    return min(waiting, key=lambda wait: wait.until, default=None)


def _reused(steps: Sequence[Step]) -> Reuse:
    savings = [step.savings for step in steps if step.savings is not None]
    counts = Counter(step.kind for step in steps if step.savings is not None)
    return Reuse(
        prepare=counts[StepKind.PREPARE],
        transcribe=counts[StepKind.TRANSCRIBE],
        embed=counts[StepKind.EMBED],
        diarize=counts[StepKind.DIARIZE],
        job=counts[StepKind.JOIN],
        engine_s=round(sum(saved.engine_s for saved in savings), 3),
        usd=round(sum(saved.usd for saved in savings), 6),
    )


def _timings(job: Job, steps: Sequence[Step], now: datetime) -> dict[str, float]:
    """Wall seconds of each stage from its first begin to its last end, and seconds spent inside engines.

    Of a restarted job these are the seconds since then: the pause before it was nobody's work.
    """
    asked_at = job.restarted_at or job.created_at
    timings: dict[str, float] = {}
    if job.started_at and job.started_at >= asked_at:
        timings["queue_s"] = _seconds(asked_at, job.started_at)
    for kind in StepKind:
        ended = [step for step in steps if step.kind is kind and step.finished_at and step.finished_at >= asked_at]
        if not ended:
            continue
        first = max(asked_at, min(step.started_at for step in ended))
        last = max(step.finished_at for step in ended if step.finished_at)
        timings[f"{kind}_s"] = _seconds(first, last)
        engine_s = sum(step.engine_s or 0.0 for step in ended)
        if engine_s:
            timings[f"{kind}_engine_s"] = round(engine_s, 3)
    timings["total_s"] = _seconds(asked_at, job.finished_at or now)
    return timings


def _seconds(start: datetime, end: datetime) -> float:
    return round(max(0.0, (end - start).total_seconds()), 3)
