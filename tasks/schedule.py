"""The tasks beat sends: sweeping, cleaning, probing, warning. Each may run on several hosts at once."""

from __future__ import annotations

from config.queue import DELETE_EXPIRED, DELETE_TEMPORARY, PROBE_PROVIDERS, SWEEP_JOBS, WARN_OF_RETIREMENTS
from erni.steps import cleaning, enrolling, probing, sweeping
from tasks.app import celery_app, current_services


@celery_app.task(name=SWEEP_JOBS, ignore_result=True)
def sweep_jobs() -> None:
    sweeping.sweep_jobs(current_services())
    enrolling.send_lost_enrolments(current_services())


@celery_app.task(name=DELETE_EXPIRED, ignore_result=True)
def delete_expired() -> None:
    cleaning.delete_expired(current_services())
    enrolling.delete_expired_voiceprints(current_services())


@celery_app.task(name=DELETE_TEMPORARY, ignore_result=True)
def delete_temporary() -> None:
    cleaning.delete_temporary(current_services())


@celery_app.task(name=PROBE_PROVIDERS, ignore_result=True)
def probe_providers() -> None:
    probing.probe_providers(current_services())


@celery_app.task(name=WARN_OF_RETIREMENTS, ignore_result=True)
def warn_of_retirements() -> None:
    probing.warn_of_retirements(current_services())
