"""The tasks of a job: one call to a step each."""

from __future__ import annotations

import structlog

from config.queue import DIARIZE_JOB, EMBED_CHUNK, FAIL_JOB, FINISH_JOB, PREPARE_JOB, TRANSCRIBE_CHUNK
from erni.errors import JobNotFound
from erni.jobs import JobStatus, StepKind
from erni.steps import diarizing, ending, finishing, preparing, recognising
from erni.steps.working import PieceStatus
from tasks.app import celery_app, current_services
from tasks.job_task import INTERNAL, JobTask, LaneTask, PieceTask

log = structlog.get_logger(__name__)


@celery_app.task(name=PREPARE_JOB, base=JobTask, ignore_result=True)
def prepare_job(job_id: str, is_long: int = 0) -> None:
    preparing.prepare_job(current_services(), job_id, is_long=bool(is_long))


@celery_app.task(name=TRANSCRIBE_CHUNK, base=LaneTask, kind=StepKind.TRANSCRIBE)
def transcribe_chunk(job_id: str, index: int, *_: int) -> PieceStatus:  # A release before this one sent a stride.
    return recognising.transcribe_chunk(current_services(), job_id, index)


@celery_app.task(name=EMBED_CHUNK, base=LaneTask, kind=StepKind.EMBED)
def embed_chunk(job_id: str, index: int) -> PieceStatus:
    return diarizing.embed_chunk(current_services(), job_id, index)


@celery_app.task(name=DIARIZE_JOB, base=PieceTask, kind=StepKind.DIARIZE)
def diarize_job(job_id: str) -> PieceStatus:
    return diarizing.diarize_job(current_services(), job_id)


@celery_app.task(name=FINISH_JOB, base=JobTask, ignore_result=True)
def finish_job(job_id: str) -> None:
    finishing.finish_job(current_services(), job_id)


@celery_app.task(name=FAIL_JOB, base=JobTask, ignore_result=True)
def fail_job(job_id: str) -> None:
    """The net below a task that ended outside its own code: a killed process, a hard time limit.

    While pieces are still at work the job is left alone: the sweeper finishes it from what they leave behind.
    """
    services = current_services()
    try:
        job = services.jobs.get(job_id)
    except JobNotFound:
        return
    if job.status is JobStatus.PROCESSING:
        log.warning("job_left_to_sweeper")
        return
    ending.fail_job(services, job_id, INTERNAL)
