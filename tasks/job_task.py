"""The base of every task that works for a job: binds the job to the logs and turns how its step ended into what Celery
does next. Decides nothing itself: whether and when work is tried again stands in the step's record.
"""

from __future__ import annotations

import random
from typing import Any, Final, cast

import structlog
from billiard.exceptions import SoftTimeLimitExceeded
from celery import Task
from celery.exceptions import CeleryError, Reject, Retry

from erni.errors import ErniError, Interruption, JobStopped, WorkHandedBack
from erni.jobs import JobFailure, Piece, StepKind
from erni.steps.ending import fail_job
from erni.steps.running import StepFailed
from erni.steps.waking import join_if_complete
from erni.steps.working import give_up_hung_engine, give_up_piece, next_chunk
from tasks.app import current_services

log = structlog.get_logger(__name__)

INTERNAL: Final = JobFailure("internal", "An internal error stopped this job; the operator's log has the details.")
OUTAGE_PAUSE_S: Final = (3.0, 8.0)
"""Between attempts while records, blobs or Redis are away and no attempt can be recorded; the deadline ends them."""


class JobTask(Task):  # type: ignore[misc]  # Celery ships no types
    """A task whose first argument is a job's id and whose failure for good is the job's failure."""

    abstract = True
    max_retries = None  # The step's record counts, not Celery.

    def __call__(self, job_id: str, *arguments: Any) -> Any:
        with structlog.contextvars.bound_contextvars(job_id=job_id):
            return self.work(job_id, *arguments)

    def work(self, job_id: str, *arguments: Any) -> Any:
        """Run the step once and answer for how it ended."""
        try:
            return self.run(job_id, *arguments)
        except Interruption as interruption:
            return self.answer_interruption(interruption)
        except StepFailed as failed:
            return self.give_up(JobFailure(failed.cause.code, failed.cause.message), job_id, *arguments)
        except ErniError as error:
            if not error.retryable:
                return self.give_up(JobFailure(error.code, error.message), job_id, *arguments)
            raise self.come_back(error) from error
        except SoftTimeLimitExceeded:
            return self.run_out_of_time(job_id, *arguments)
        except CeleryError:
            raise
        except Exception:  # the net: a bug ends as a clear state, not as a lost job
            log.exception("task_crashed")
            return self.give_up(INTERNAL, job_id, *arguments)

    def come_back(self, error: ErniError) -> Retry:
        """The outage's pause, and then the same task again."""
        log.warning("task_postponed", code=error.code)
        pause_s = random.uniform(*OUTAGE_PAUSE_S)  # noqa: S311  # spreads attempts, guards nothing
        return cast("Retry", self.retry(countdown=pause_s, throw=False))

    def answer_interruption(self, interruption: Interruption) -> str:
        """A stopped job's piece is over; work handed back goes to another worker at once, all else comes back."""
        if isinstance(interruption, JobStopped):
            return "cancelled"
        if isinstance(interruption, WorkHandedBack):
            log.info("work_handed_back")
            raise Reject(interruption, requeue=True)
        raise self.retry(countdown=interruption.retry_after_s or 0.0)

    def run_out_of_time(self, job_id: str, *arguments: Any) -> Any:
        return self.give_up(self.describe_time_limit(), job_id, *arguments)

    def describe_time_limit(self) -> JobFailure:
        limit_s = self.soft_time_limit or self.app.conf.task_soft_time_limit
        return JobFailure("time_limit", f"This piece of work did not end within its limit of {limit_s:.0f} s.")

    def give_up(self, failure: JobFailure, job_id: str, *_: Any) -> Any:
        fail_job(current_services(), job_id, failure)


class PieceTask(JobTask):
    """A member of a job's chord: its failure for good is a gap, never an exception."""

    abstract = True
    kind: StepKind

    def piece_of(self, *arguments: Any) -> Piece:
        return Piece(self.kind, int(arguments[0]) if arguments else 0)

    def run_out_of_time(self, job_id: str, *arguments: Any) -> Any:
        """A hung engine: the piece goes to the next one."""
        failure = self.describe_time_limit()
        if give_up_hung_engine(current_services(), job_id, self.piece_of(*arguments), failure.message):
            raise self.retry(countdown=0)
        return "gap"

    def give_up(self, failure: JobFailure, job_id: str, *arguments: Any) -> Any:
        give_up_piece(current_services(), job_id, self.piece_of(*arguments), failure.message)
        return "gap"


class LooseTask(JobTask):
    """Work whose failure for good is nobody's but its own: no job waits for it."""

    abstract = True

    def give_up(self, failure: JobFailure, _: str, *__: Any) -> None:
        log.warning("task_given_up", task=self.name, code=failure.code)


class LaneTask(PieceTask):
    """A piece that, when it is over, goes to the queue's end for the next chunk that waits: ``(job_id, chunk)``."""

    abstract = True

    def end_lane(self, job_id: str) -> None:
        """The chord sees to the join, unless it waits for a vendor's piece that a webhook has ended."""
        try:
            join_if_complete(current_services(), job_id)
        except ErniError as error:
            log.warning("join_left_to_chord", code=error.code)

    def work(self, job_id: str, *arguments: Any) -> Any:
        status = super().work(job_id, *arguments)
        if status == "cancelled":
            return status
        try:
            following = next_chunk(current_services(), job_id, self.kind)
        except ErniError as error:
            raise self.come_back(error) from error
        if following is None:
            self.end_lane(job_id)
            return status
        raise self.retry(args=(job_id, following), countdown=0)
