"""The workers' app with tasks that have a bug; run by test_job_task in a worker."""

from __future__ import annotations

from erni.errors import EngineRejected
from erni.jobs import StepKind
from tasks.app import celery_app
from tasks.job_task import JobTask, PieceTask


@celery_app.task(name="test.buggy_piece", base=PieceTask, kind=StepKind.TRANSCRIBE)
def buggy_piece(_job_id: str, _index: int) -> str:
    raise ZeroDivisionError("secret words of a meeting")


@celery_app.task(name="test.buggy_job", base=JobTask)
def buggy_job(_job_id: str) -> None:
    raise ZeroDivisionError("secret words of a meeting")


@celery_app.task(name="test.refused_job", base=JobTask)
def refused_job(_job_id: str) -> None:
    raise EngineRejected("No such voice.")
