"""Trying the missing parts of a job again: what was done, and paid for, is kept."""

from __future__ import annotations

import structlog

from erni.errors import JobConflict
from erni.jobs import Job, JobStatus
from erni.services import Services
from erni.steps.accepting import start_job
from erni.steps.finishing import JOIN
from erni.steps.shortfalls import lacks_voices

log = structlog.get_logger(__name__)


def retry_job(services: Services, job_id: str) -> Job:
    """Put a job that lacks something back into the queue: chunks, its speakers, or all of it. Its deadline begins anew.

    Only pieces without a result are done; a transcript it has stays readable until the new one replaces it.

    Raises:
        JobConflict: the job is not over, or nothing is missing.
        JobNotFound: there is no such job.
    """
    job = services.jobs.get(job_id)
    if not job.status.is_over:
        raise JobConflict(f"The job is {job.status}; it can be retried when it is over.")
    undone = [step.piece for step in services.jobs.steps(job_id) if step.status != "ok"]
    if job.status is JobStatus.SUCCEEDED and not lacks_voices(job.warnings):
        # What one engine could not do another has done.
        raise JobConflict("The job succeeded and nothing is missing, so there is nothing to retry.")
    # Before the move: dying in between leaves a job that is over and can be retried again.
    services.jobs.forget_steps(job_id, [*undone, JOIN])
    fields = {"restarted_at": services.clock(), "finished_at": None, "failure": None, "warnings": ()}
    if not services.jobs.advance(job_id, JobStatus.QUEUED, fields):
        raise JobConflict("The job was retried or deleted at this moment; look at it again.")
    log.info("job_restarted", pieces=len(undone))
    start_job(services, job_id)
    return services.jobs.get(job_id)
