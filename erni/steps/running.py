"""What the steps share: whether a job still wants work, a place to work in, and how a step's begin, failures and end
are recorded.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import timedelta
from pathlib import Path

import structlog

from erni.errors import ErniError, Interruption, JobNotFound, JobStopped, WorkHandedBack, WorkLost, WorkPostponed
from erni.jobs import Failure, Job, Piece, Savings, Step, StepStatus
from erni.retrying import is_wait, moves_on, retry_delay_s
from erni.services import Services

log = structlog.get_logger(__name__)

CHECK_EVERY_S = 1.0
"""How often a step at work asks whether its job was cancelled: bounds both the wait and the load on the records."""


class StepFailed(Exception):
    """A step failed for good, and its record says so. ``cause`` is the error of the last attempt."""

    def __init__(self, cause: ErniError) -> None:
        super().__init__(cause.message)
        self.cause = cause


def wanted_job(services: Services, job_id: str) -> Job | None:
    """The job, or ``None`` when it is over or gone and no work should be done for it."""
    try:
        job = services.jobs.get(job_id)
    except JobNotFound:
        return None
    return None if job.status.is_over else job


def make_checkpoint(services: Services, job_id: str) -> Callable[[], None]:
    """A function to be called often inside long work; it is cheap.

    It raises JobStopped once the job is over or gone, and WorkHandedBack when the worker has to stop.
    """
    next_check = time.monotonic() + CHECK_EVERY_S

    def checkpoint() -> None:
        nonlocal next_check
        if services.is_draining():
            raise WorkHandedBack("The worker is shutting down.")
        if time.monotonic() < next_check:
            return
        next_check = time.monotonic() + CHECK_EVERY_S
        if wanted_job(services, job_id) is None:
            raise JobStopped("The job was cancelled.")

    return checkpoint


@contextmanager
def work_dir(services: Services) -> Iterator[Path]:
    """A directory for this run, gone afterwards; what a killed process leaves is cleaned by schedule."""
    services.temporary_dir.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=services.temporary_dir, prefix="work-") as directory:
        yield Path(directory)


@dataclass(slots=True)
class StepRun:
    """One run of a step, to be filled in while it works. ``step`` is its record as it was when the run began."""

    step: Step
    engine_s: float | None = None
    savings: Savings | None = None
    started: float = field(default_factory=time.perf_counter)


@contextmanager
def run_step(services: Services, job_id: str, piece: Piece, *, engines: Sequence[str] = ()) -> Iterator[StepRun]:
    """Record a step's begin and how the run ended.

    An error that is worth another attempt is recorded with the time of that attempt; one that is not sends the piece
    to the next of ``engines``, if there is one. A run that was merely interrupted is not counted.

    Raises:
        StepFailed: the work failed for good.
        WorkPostponed: it is to be tried again after ``retry_after_s``.
        JobStopped, WorkHandedBack: as the work raised them.
    """
    step = services.jobs.begin_step(job_id, piece)
    if engines and step.engine is None:
        step = replace(step, engine=engines[0])
    run = StepRun(step)
    try:
        _check_deliveries(services, step)
        yield run
    except JobStopped:
        _record_end(services, run, "cancelled")
        raise
    except Interruption:
        services.jobs.release_step(job_id, piece)
        raise
    except ErniError as error:
        _postpone_or_give_up(services, run, error, engines)
    else:
        _record_end(services, run, "ok")


def _check_deliveries(services: Services, step: Step) -> None:
    """Raises WorkLost when this piece has already ended its worker process several times."""
    if step.deliveries > services.limits.max_deliveries:
        raise WorkLost(f"The worker process ended {step.deliveries - 1} times while at this piece.")


def _postpone_or_give_up(services: Services, run: StepRun, error: ErniError, engines: Sequence[str]) -> None:
    """Always raises: WorkPostponed or StepFailed."""
    step, waits = run.step, is_wait(error)
    delay_s = retry_delay_s(error, step.waits if waits else step.attempts)
    if delay_s is None or (moves_on(error) and next_engine(step, engines) is not None):
        if give_up_engine(services, step, error.message, engines):
            raise WorkPostponed("The next engine takes over.", retry_after_s=0.0) from error
        raise StepFailed(error) from error
    services.jobs.save_step(
        replace(
            step,
            deliveries=max(0, step.deliveries - 1),
            attempts=step.attempts + (not waits),
            waits=step.waits + waits,
            retry_at=services.clock() + timedelta(seconds=delay_s),
            reason=error.message,
        )
    )
    log.warning("step_postponed", step=step.kind, code=error.code, delay_s=round(delay_s, 1))
    raise WorkPostponed(error.message, retry_after_s=delay_s) from error


def give_up_engine(services: Services, step: Step, reason: str, engines: Sequence[str]) -> bool:
    """Record that the engine at work cannot do this piece: the next of ``engines`` does, or the step has failed.

    Returns whether there is a next one.
    """
    engine = step.engine or (engines[0] if engines else None)
    failures = step.failures if engine is None else (*step.failures, Failure(engine, reason))
    following = next_engine(step, engines)
    if following is None:
        end = replace(step, status="failed", finished_at=services.clock(), engine=engine, reason=reason)
        services.jobs.finish_step(end)
        return False
    # Its deliveries and attempts begin anew: they were the other engine's.
    services.jobs.save_step(
        replace(
            step,
            engine=following,
            failures=failures,
            deliveries=0,
            attempts=0,
            waits=0,
            retry_at=None,
            reason=reason,
            submitted_at=None,
            remote_id=None,
            heard_at=None,
        )
    )
    log.warning("engine_given_up", engine=engine, following=following, step=step.kind)
    return True


def next_engine(step: Step, engines: Sequence[str]) -> str | None:
    """The engine after the one at work, of those not given up yet."""
    tried = {failure.engine for failure in step.failures} | {step.engine or (engines[0] if engines else None)}
    return next((name for name in engines if name not in tried), None)


def _record_end(services: Services, run: StepRun, status: StepStatus) -> None:
    elapsed_s = time.perf_counter() - run.started
    services.jobs.finish_step(
        replace(
            run.step,
            status=status,
            finished_at=services.clock(),
            elapsed_s=round(elapsed_s, 4),
            engine_s=run.engine_s,
            savings=run.savings,
            reason=None,
        )
    )
    if status == "ok" and run.savings is None:
        services.meter.observe_stage(run.step.kind, elapsed_s)
