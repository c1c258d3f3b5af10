"""The sweeper: compares records, blobs and queue, sends what nobody works for and ends what is past its deadline.

It can finish any job alone. It may run on several hosts at once: of those who see the same job, one claims it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal

import structlog

from erni.errors import BlobNotFound, DocumentDamaged
from erni.jobs import Job, JobFailure, JobStatus, Piece, Step
from erni.model import Plan
from erni.services import Limits, Services
from erni.steps.admitting import room_of
from erni.steps.ending import fail_job
from erni.steps.pieces import (
    Missing,
    find_missing,
    find_results,
    is_long,
    load_plan,
    send_pieces,
    settle,
    wanted_pieces,
)

log = structlog.get_logger(__name__)

Action = Literal["none", "wait", "resend", "fail"]


@dataclass(frozen=True, slots=True)
class Remedy:
    """What an abandoned job needs: which step to send, and for a fan-out which pieces."""

    step: Literal["prepare", "fan_out", "finish"]
    missing: Missing = field(default_factory=Missing)

    def __str__(self) -> str:
        return f"fan_out {self.missing}" if self.missing else self.step


@dataclass(frozen=True, slots=True)
class Sight:
    """What the sweeper sees of a job beside its record: whether a message is for it, and its tenant's room."""

    now: datetime
    is_held: bool
    has_room: bool


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """What is to be done about a job and why; ``remedy`` is empty unless something is to be sent."""

    job: Job
    action: Action
    reason: str
    remedy: str = ""


def judge_job(job: Job, sight: Sight, limits: Limits) -> Diagnosis:
    """Decide from the record and the queue. Pure; what exactly an abandoned job needs is found out later."""
    silent_s = (sight.now - (job.updated_at or job.created_at)).total_seconds()
    since = job.restarted_at or job.created_at
    deadline_s = min(limits.deadline_s, job.options.deadline_s or limits.deadline_s)
    if (sight.now - since).total_seconds() > deadline_s:
        reason = f"The job was not over {deadline_s:.0f} s after it was accepted; it was last {job.status}."
        return Diagnosis(job, "fail", reason)
    if sight.is_held:
        return Diagnosis(job, "none", "Its work waits in the queue or is with a worker.")
    if silent_s <= limits.stuck_after_s:
        return Diagnosis(job, "none", f"There was news of it {silent_s:.0f} s ago.")
    if job.status is JobStatus.QUEUED and not sight.has_room:
        return Diagnosis(job, "wait", f"Its tenant has {limits.tenant_jobs} jobs at work already.")
    reason = f"Nothing in the queue or with a worker is for it, and there was no news for {silent_s:.0f} s."
    return Diagnosis(job, "resend", reason)


def choose_remedy(job: Job, wanted: Sequence[Piece], steps: Sequence[Step], results: frozenset[Piece]) -> Remedy:
    """Decide what an abandoned job with a plan needs from its record, its pieces and those that have a result."""
    if job.status in (JobStatus.QUEUED, JobStatus.PREPARING):
        return Remedy("prepare")
    missing = find_missing(wanted, steps, results)
    return Remedy("fan_out", missing) if missing else Remedy("finish")


def examine_jobs(services: Services) -> Iterator[Diagnosis]:
    """A diagnosis of every unfinished job; changes nothing. Raises QueueUnavailable, StorageError."""
    for case in _examine_all(services):
        remedy = str(case.remedy) if case.remedy else ""
        yield Diagnosis(case.diagnosis.job, case.diagnosis.action, case.diagnosis.reason, remedy)


def sweep_jobs(services: Services) -> int:
    """Act on every diagnosis. Returns how many jobs were helped or ended."""
    helped = 0
    for case in _examine_all(services):
        job = case.diagnosis.job
        with structlog.contextvars.bound_contextvars(job_id=job.job_id):
            if case.diagnosis.action == "fail":
                helped += fail_job(services, job.job_id, JobFailure("deadline_exceeded", case.diagnosis.reason))
            elif case.remedy is not None and services.jobs.claim(job):
                _send(services, case)
                helped += 1
    return helped


@dataclass(slots=True)
class _Case:
    """A diagnosis and, for an abandoned job, what was found out about it."""

    diagnosis: Diagnosis
    remedy: Remedy | None = None
    plan: Plan | None = None
    steps: Sequence[Step] = ()
    results: frozenset[Piece] = frozenset()


@dataclass(slots=True)
class _Rooms:
    """Room for further jobs by tenant, asked once per sweep and used up by what the sweep sends."""

    services: Services
    left: dict[str, int] = field(default_factory=dict)

    def has_room(self, tenant: str) -> bool:
        if tenant not in self.left:
            self.left[tenant] = room_of(self.services, tenant)
        return self.left[tenant] > 0

    def take(self, tenant: str) -> None:
        self.left[tenant] -= 1


def _examine_all(services: Services) -> Iterator[_Case]:
    # Read before the records: work sent in between then shows as held, never as lost.
    now = services.clock()
    held = services.queue_watch.jobs_in_queue()
    rooms = _Rooms(services)
    for job in services.jobs.unfinished():
        sight = Sight(now, job.job_id in held, rooms.has_room(job.tenant))
        case = _Case(judge_job(job, sight, services.limits))
        if case.diagnosis.action == "resend":
            if job.status is JobStatus.QUEUED:
                rooms.take(job.tenant)
            _find_remedy(services, case)
        yield case


def _find_remedy(services: Services, case: _Case) -> None:
    job = case.diagnosis.job
    try:
        case.plan = load_plan(services, job.job_id)
    except (BlobNotFound, DocumentDamaged):
        case.remedy = Remedy("prepare")
        return
    case.steps = services.jobs.steps(job.job_id)
    case.results = find_results(services, job, case.steps)
    case.remedy = choose_remedy(job, wanted_pieces(services, job, case.plan), case.steps, case.results)


def _send(services: Services, case: _Case) -> None:
    job, remedy = case.diagnosis.job, case.remedy
    for step in case.steps:
        # Progress is counted from the steps; a worker that died may have left a result and no record of it.
        if step.piece in case.results:
            settle(services, step)
    if remedy is None or case.plan is None or remedy.step == "prepare":
        services.queue.send_prepare(job.job_id)
    elif remedy.step == "finish":
        services.queue.send_finish(job.job_id, is_long=is_long(services, case.plan))
    else:
        send_pieces(services, job, case.plan, remedy.missing)
    log.warning("job_resent", status=job.status, remedy=str(remedy))
