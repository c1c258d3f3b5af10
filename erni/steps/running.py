"""What the steps share: whether a job still wants work, and how a step's begin and end are recorded."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace

from erni.errors import ErniError, JobNotFound, JobStopped, WorkLost
from erni.jobs import Job, Step, StepKind, StepStatus
from erni.services import Services

CHECK_EVERY_S = 1.0
"""How often a step at work asks whether its job was cancelled: bounds both the wait and the load on the records."""


def wanted_job(services: Services, job_id: str) -> Job | None:
    """The job, or ``None`` when it is over or gone and no work should be done for it."""
    try:
        job = services.jobs.get(job_id)
    except JobNotFound:
        return None
    return None if job.status.is_over else job


def make_checkpoint(services: Services, job_id: str) -> Callable[[], None]:
    """A function that raises JobStopped once the job is over or gone; cheap to call often."""
    next_check = time.monotonic() + CHECK_EVERY_S

    def checkpoint() -> None:
        nonlocal next_check
        if time.monotonic() < next_check:
            return
        next_check = time.monotonic() + CHECK_EVERY_S
        if wanted_job(services, job_id) is None:
            raise JobStopped("The job was cancelled.")

    return checkpoint


@dataclass(slots=True)
class StepRun:
    """One run of a step, to be filled in while it works."""

    deliveries: int
    engine: str | None = None
    engine_s: float | None = None
    status: StepStatus = "ok"
    reason: str | None = None
    started: float = field(default_factory=time.perf_counter)


def check_deliveries(services: Services, run: StepRun) -> None:
    """Raises WorkLost when this piece has already ended its worker process several times."""
    if run.deliveries > services.limits.max_deliveries:
        raise WorkLost(f"The worker process ended {run.deliveries - 1} times while at this piece; it was given up.")


@contextmanager
def run_step(services: Services, job_id: str, kind: StepKind, part: int = 0) -> Iterator[StepRun]:
    """Record a step's begin and, when its work returns or fails for good, its end.

    A retryable error leaves the step running: it will be tried again, and its delivery does not count. JobStopped
    ends it as cancelled.
    """
    begun_at = services.clock()
    run = StepRun(services.jobs.begin_step(job_id, kind, part))
    begun = Step(job_id, kind, part, "running", run.deliveries, begun_at)
    try:
        yield run
    except JobStopped:
        run.status = "cancelled"
        _record_end(services, begun, run)
        raise
    except ErniError as error:
        if error.retryable:
            services.jobs.release_step(job_id, kind, part)
        else:
            run.status, run.reason = "failed", error.message
            _record_end(services, begun, run)
        raise
    else:
        _record_end(services, begun, run)


def _record_end(services: Services, begun: Step, run: StepRun) -> None:
    elapsed_s = time.perf_counter() - run.started
    services.jobs.finish_step(
        replace(
            begun,
            status=run.status,
            finished_at=services.clock(),
            elapsed_s=round(elapsed_s, 4),
            engine_s=run.engine_s,
            engine=run.engine,
            reason=run.reason,
        )
    )
    if run.status == "ok":
        services.meter.observe_stage(begun.kind, elapsed_s)
