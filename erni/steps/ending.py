"""How jobs end otherwise: failed, cancelled, deleted."""

from __future__ import annotations

import structlog

from erni import blob_paths
from erni.errors import JobConflict
from erni.jobs import Job, JobFailure, JobStatus
from erni.services import Services

log = structlog.get_logger(__name__)


def fail_job(services: Services, job_id: str, failure: JobFailure) -> bool:
    """Move the job to ``failed`` unless it is over; returns whether this call did."""
    moved = services.jobs.advance(job_id, JobStatus.FAILED, {"finished_at": services.clock(), "failure": failure})
    if moved:
        log.warning("job_failed", code=failure.code)
    return moved


def cancel_job(services: Services, job_id: str) -> Job:
    """Move the job to ``cancelled``. Steps at work notice within seconds; queued ones return at once.

    Raises:
        JobConflict: the job is over already.
        JobNotFound: there is no such job.
    """
    if not services.jobs.advance(job_id, JobStatus.CANCELLED, {"finished_at": services.clock()}):
        job = services.jobs.get(job_id)
        raise JobConflict(f"The job is already {job.status} and cannot be cancelled.")
    log.info("job_cancelled")
    return services.jobs.get(job_id)


def delete_job(services: Services, job_id: str) -> None:
    """Remove the job, its audio and its text, ending it first when it is still at work."""
    services.jobs.advance(job_id, JobStatus.CANCELLED, {"finished_at": services.clock()})
    # Blobs first: dying in between leaves a record that can be deleted again, never text without a record.
    blobs = services.blobs.delete_tree(blob_paths.job_root(job_id))
    services.jobs.delete(job_id)
    log.info("job_deleted", blobs=blobs)
