"""The base of every task that works for a job: binds the job to the logs, asks the policy, retries or gives up."""

from __future__ import annotations

from typing import Any

import structlog
from billiard.exceptions import SoftTimeLimitExceeded
from celery import Task

from erni.errors import ErniError, JobStopped
from erni.jobs import JobFailure, StepKind
from erni.steps.ending import fail_job
from erni.steps.recognising import give_up_piece
from tasks.app import current_services, settings
from tasks.policy import retry_delay_s

log = structlog.get_logger(__name__)

INTERNAL = JobFailure("internal", "An internal error stopped this job; the operator's log has the details.")


class JobTask(Task):  # type: ignore[misc]  # Celery ships no types
    """A task whose first argument is a job's id and whose failure for good is the job's failure."""

    abstract = True
    max_retries = None  # The policy counts, not Celery.

    def __call__(self, job_id: str, *arguments: Any) -> Any:
        with structlog.contextvars.bound_contextvars(job_id=job_id):
            try:
                return self.run(job_id, *arguments)
            except JobStopped:
                return "cancelled"
            except ErniError as error:
                delay_s = retry_delay_s(error, self.request.retries)
                if delay_s is None:
                    return self.give_up(JobFailure(error.code, error.message), job_id, *arguments)
                log.warning("task_postponed", code=error.code, delay_s=round(delay_s, 1))
                raise self.retry(exc=error, countdown=delay_s) from error
            except SoftTimeLimitExceeded:
                limit = settings.queue.step_time_limit_s
                reason = f"This piece of work did not end within {limit} s (ERNI_QUEUE__STEP_TIME_LIMIT_S)."
                return self.give_up(JobFailure("time_limit", reason), job_id, *arguments)
            except Exception as error:  # the net: a bug ends as a clear state, not as a lost job
                if error.__class__.__module__.startswith("celery"):
                    raise
                log.exception("task_crashed")
                return self.give_up(INTERNAL, job_id, *arguments)

    def give_up(self, failure: JobFailure, job_id: str, *_: Any) -> Any:
        fail_job(current_services(), job_id, failure)


class PieceTask(JobTask):
    """A member of a job's chord: its failure for good is a gap, never an exception."""

    abstract = True
    kind: StepKind

    def give_up(self, failure: JobFailure, job_id: str, *arguments: Any) -> Any:
        part = int(arguments[0]) if arguments else 0
        give_up_piece(current_services(), job_id, self.kind, part, failure.message)
        return "gap"
