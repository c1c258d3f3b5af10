"""The tasks of a job: one call to a step each."""

from __future__ import annotations

from datetime import UTC, datetime

import structlog

from config.queue import (
    DIARIZE_JOB,
    EMBED_CHUNK,
    ENROL_VOICEPRINT,
    FAIL_JOB,
    FINISH_JOB,
    ONE_SHOT_JOB,
    PREPARE_JOB,
    STOP_REMOTE_JOB,
    TRANSCRIBE_CHUNK,
    WAKE_PIECE,
)
from erni.errors import JobNotFound
from erni.jobs import JobStatus, Piece, RemoteStop, StepKind
from erni.steps import diarizing, ending, enrolling, finishing, one_shot, preparing, recognising, stopping, waking
from erni.steps.working import PieceStatus
from tasks.app import celery_app, current_services
from tasks.job_task import INTERNAL, JobTask, LaneTask, LooseTask, PieceTask

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
def diarize_job(job_id: str, group: int = 0) -> PieceStatus:
    return diarizing.diarize_job(current_services(), job_id, group)


@celery_app.task(name=ONE_SHOT_JOB, base=PieceTask, kind=StepKind.ONE_SHOT)
def one_shot_job(job_id: str, _: int = 0) -> PieceStatus:
    return one_shot.listen_in_one_shot(current_services(), job_id)


@celery_app.task(name=WAKE_PIECE, base=LooseTask, ignore_result=True)
def wake_piece(job_id: str, kind: str, part: int) -> None:
    waking.wake_piece(current_services(), job_id, Piece(StepKind(kind), part))


@celery_app.task(name=STOP_REMOTE_JOB, base=LooseTask, ignore_result=True)
def stop_remote_job(remote_id: str, engine: str, charge_id: str, key: str, asked_s: float) -> None:
    stop = RemoteStop(remote_id, engine, charge_id, key, datetime.fromtimestamp(asked_s, UTC))
    stopping.stop_remote_job(current_services(), stop)


@celery_app.task(name=ENROL_VOICEPRINT, base=LooseTask, ignore_result=True)
def enrol_voiceprint(voiceprint_id: str) -> None:
    enrolling.enrol_voiceprint(current_services(), voiceprint_id)


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
