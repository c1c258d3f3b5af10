"""How jobs end otherwise: failed, cancelled, deleted. Each makes room for the tenant's next job."""

from __future__ import annotations

from dataclasses import dataclass

import structlog

from erni import blob_paths
from erni.errors import JobConflict
from erni.jobs import Job, JobFailure, JobStatus, StepKind
from erni.services import Services
from erni.steps.admitting import start_waiting
from erni.steps.stopping import stop_remote_jobs

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Removed:
    """What deleting a job took away, beside its record."""

    blobs: int
    steps: int
    cache_entries: int


def fail_job(services: Services, job_id: str, failure: JobFailure) -> bool:
    """Move the job to ``failed`` unless it is over; returns whether this call did."""
    moved = services.jobs.advance(job_id, JobStatus.FAILED, {"finished_at": services.clock(), "failure": failure})
    if moved:
        log.warning("job_failed", code=failure.code)
        job = services.jobs.get(job_id)
        stop_remote_jobs(services, job)
        start_waiting(services, job.tenant)
    return moved


def cancel_job(services: Services, job_id: str) -> Job:
    """Move the job to ``cancelled``. Steps at work notice within seconds; queued ones return at once. Vendors' jobs
    are stopped where that can be done and nobody else waits for them.

    Raises:
        JobConflict: the job is over already.
        JobNotFound: there is no such job.
    """
    if not services.jobs.advance(job_id, JobStatus.CANCELLED, {"finished_at": services.clock()}):
        job = services.jobs.get(job_id)
        raise JobConflict(f"The job is already {job.status} and cannot be cancelled.")
    log.info("job_cancelled")
    job = services.jobs.get(job_id)
    stop_remote_jobs(services, job)
    start_waiting(services, job.tenant)
    return job


def delete_job(services: Services, job_id: str) -> Removed:
    """Remove the job, its audio, its text and what the cache holds of it, ending it first when it is at work.

    Raises:
        JobNotFound: there is no such job.
        QueueUnavailable, StorageError: not all of it could be removed; the job is still there, to be deleted again.
    """
    job = services.jobs.get(job_id)
    was_active = services.jobs.advance(job_id, JobStatus.CANCELLED, {"finished_at": services.clock()})
    if was_active:
        # While the job's plan is there: it tells what equal jobs know the vendor's job by.
        stop_remote_jobs(services, job)
    # The record last: dying in between leaves a job that can be deleted again, never text without a record.
    for kind in StepKind:
        services.waiting_chunks.put(job_id, kind, ())
    removed = Removed(
        cache_entries=services.cache.delete_job(job_id),
        blobs=services.blobs.delete_tree(blob_paths.job_root(job_id)),
        steps=len(services.jobs.steps(job_id)),
    )
    services.jobs.delete(job_id)
    log.info("job_deleted", blobs=removed.blobs, cache_entries=removed.cache_entries)
    if was_active:
        start_waiting(services, job.tenant)
    return removed
