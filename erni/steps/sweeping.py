"""The sweeper: finds unfinished jobs that nothing in the queue works for and sends what each lacks."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Literal

import structlog

from erni import blob_paths, codec
from erni.errors import BlobNotFound
from erni.jobs import Job, JobFailure, JobStatus, Step, StepKind
from erni.model import Plan
from erni.services import Services
from erni.steps.ending import delete_job, fail_job

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Remedy:
    """What an abandoned job needs: which step to send, and for a fan-out which pieces."""

    step: Literal["prepare", "fan_out", "finish"]
    chunks: tuple[int, ...] = ()
    diarize: bool = False


def choose_remedy(job: Job, plan: Plan | None, steps: Sequence[Step], results: frozenset[str]) -> Remedy:
    """Decide from the record, the plan and what is done already; ``results`` names the pieces with a blob.

    Pieces are named by their blob path's last part: ``turns.json``, ``00003.json``.
    """
    if job.status in (JobStatus.QUEUED, JobStatus.PREPARING) or plan is None:
        return Remedy("prepare")
    if job.status is JobStatus.JOINING:
        return Remedy("finish")
    over = {(step.kind, step.part) for step in steps if step.is_over}
    chunks = tuple(
        chunk.index
        for chunk in plan.chunks
        if (StepKind.TRANSCRIBE, chunk.index) not in over and f"{chunk.index:05d}.json" not in results
    )
    wants_turns = job.options.diarizer is not None and bool(plan.chunks)
    diarize = wants_turns and (StepKind.DIARIZE, 0) not in over and "turns.json" not in results
    return Remedy("fan_out", chunks, diarize) if chunks or diarize else Remedy("finish")


def sweep_jobs(services: Services) -> int:
    """Fail what is past its deadline, send what nobody holds. Returns how many jobs were helped."""
    # Read before the records: work sent in between then shows as held, never as lost.
    now = services.clock()
    queued = services.queue_watch.jobs_in_queue()
    helped = 0
    for job in services.jobs.unfinished():
        with structlog.contextvars.bound_contextvars(job_id=job.job_id):
            if (now - job.created_at).total_seconds() > services.limits.deadline_s:
                helped += _fail_overdue(services, job)
            elif job.job_id not in queued and _is_silent(job, now, services.limits.stuck_after_s):
                _help(services, job)
                helped += 1
    return helped


def _is_silent(job: Job, now: datetime, stuck_after_s: float) -> bool:
    return (now - (job.updated_at or job.created_at)).total_seconds() > stuck_after_s


def _fail_overdue(services: Services, job: Job) -> bool:
    message = (
        f"The job was not over {services.limits.deadline_s:.0f} s after it was accepted; it was last {job.status}."
    )
    return fail_job(services, job.job_id, JobFailure("deadline_exceeded", message))


def _help(services: Services, job: Job) -> None:
    remedy = _examine(services, job)
    # Touching the record first keeps a sweeper on another host from sending the same again.
    services.jobs.update(job.job_id, {})
    if remedy.step == "prepare":
        services.queue.send_prepare(job.job_id)
    elif remedy.step == "finish":
        services.queue.send_finish(job.job_id)
    else:
        services.queue.send_fan_out(job.job_id, remedy.chunks, diarize=remedy.diarize)
    log.warning("job_resent", status=job.status, step=remedy.step, chunks=len(remedy.chunks))


def _examine(services: Services, job: Job) -> Remedy:
    try:
        plan = codec.load_plan(services.blobs.get_bytes(blob_paths.plan(job.job_id)))
    except BlobNotFound:
        return choose_remedy(job, None, (), frozenset())
    paths = [blob_paths.chunk_result(job.job_id, chunk.index) for chunk in plan.chunks]
    paths.append(blob_paths.turns(job.job_id))
    done = frozenset(path.rsplit("/", 1)[-1] for path in paths if services.blobs.exists(path))
    return choose_remedy(job, plan, services.jobs.steps(job.job_id), done)


def delete_expired(services: Services) -> int:
    """Delete jobs that have been over for longer than the retention. Returns how many."""
    horizon = services.clock() - timedelta(seconds=services.limits.retention_s)
    count = 0
    for job in services.jobs.finished_before(horizon):
        with structlog.contextvars.bound_contextvars(job_id=job.job_id):
            delete_job(services, job.job_id)
        count += 1
    return count


def delete_temporary(services: Services) -> int:
    """Remove temporary files, half-written blobs and blobs without a job once they are old. Returns how many."""
    horizon = services.clock() - timedelta(seconds=services.limits.temporary_s)
    return (
        _delete_old_files(services, horizon)
        + _delete_orphans(services, horizon)
        + services.blobs.remove_stale_temporaries(horizon)
    )


def _delete_old_files(services: Services, horizon: datetime) -> int:
    count = 0
    if not services.temporary_dir.is_dir():
        return 0
    for path in services.temporary_dir.iterdir():
        if datetime.fromtimestamp(path.stat().st_mtime, UTC) >= horizon:
            continue
        if path.is_dir():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink(missing_ok=True)
        count += 1
    return count


def _delete_orphans(services: Services, horizon: datetime) -> int:
    old = [name for name, changed_at in services.blobs.list_roots(blob_paths.JOBS_ROOT) if changed_at < horizon]
    known = services.jobs.existing(old)
    orphans = [name for name in old if name not in known]
    for name in orphans:
        services.blobs.delete_tree(f"{blob_paths.JOBS_ROOT}/{name}")
    return len(orphans)
