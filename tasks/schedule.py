"""The tasks beat sends: sweeping and cleaning. Each may run on several hosts at once."""

from __future__ import annotations

from config.queue import DELETE_EXPIRED, DELETE_TEMPORARY, SWEEP_JOBS
from erni.steps import cleaning, sweeping
from tasks.app import celery_app, current_services


@celery_app.task(name=SWEEP_JOBS, ignore_result=True)
def sweep_jobs() -> None:
    sweeping.sweep_jobs(current_services())


@celery_app.task(name=DELETE_EXPIRED, ignore_result=True)
def delete_expired() -> None:
    cleaning.delete_expired(current_services())


@celery_app.task(name=DELETE_TEMPORARY, ignore_result=True)
def delete_temporary() -> None:
    cleaning.delete_temporary(current_services())
