"""Stopping vendors' jobs that are not wanted any more, because the job they were submitted for was cancelled, deleted
or failed: they would go on, and be billed.

Vendors are asked by a worker, so that no caller waits for one. Of those there are only Replicate can stop a job.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress

import structlog

from erni.engine_ports import OneShotEngine
from erni.errors import (
    BlobNotFound,
    DocumentDamaged,
    EngineAnswerInvalid,
    EngineRejected,
    EngineUnavailable,
    ErniError,
    RemoteJobLost,
    WorkPostponed,
)
from erni.jobs import Job, RemoteStop, Step, StepKind
from erni.services import Services
from erni.stage_keys import remote_key
from erni.steps.awaiting import DEFAULT_POLL_S, provider_of
from erni.steps.paying import charge_id_of, close_charge, settle_charge
from erni.steps.pieces import load_plan
from erni.steps.reusing import stage_keys
from erni.steps.running import wanted_job

log = structlog.get_logger(__name__)


def stop_remote_jobs(services: Services, job: Job, steps: Sequence[Step] | None = None) -> None:
    """Have workers stop what vendors do for these steps, or all, of a job that is over.

    Never raises: it is over whatever becomes of this.
    """
    try:
        for step in services.jobs.steps(job.job_id) if steps is None else steps:
            if step.kind is StepKind.ONE_SHOT and not step.is_over and step.remote_id is not None:
                services.queue.send_stop(_describe(services, job, step, step.remote_id))
    except ErniError as error:
        log.warning("remote_job_not_stopped", code=error.code)


def stop_remote_job(services: Services, stop: RemoteStop) -> None:
    """Stop a vendor's job unless somebody waits for it, and book what it cost in the end, whoever stopped it.

    Raises:
        WorkPostponed, WorkInFlight: look again.
        EngineError: the vendor does not let us.
        ErniError: the records are away.
    """
    engine = services.one_shots.get(stop.engine)
    if engine is None:
        return
    try:
        if _is_booked(services, engine, stop):
            return
        with _unadopted(services, stop):
            if not _is_wanted(services, stop):
                services.cache.drop(remote_key(stop.key), stop.remote_id.encode())
                engine.cancel(stop.remote_id)
                log.info("remote_job_stopped", engine=stop.engine, remote_id=stop.remote_id)
    except (EngineUnavailable, EngineAnswerInvalid) as error:
        log.warning("remote_job_not_stopped_yet", engine=stop.engine, code=error.code)
    limits = services.limits.remote
    if (services.clock() - stop.asked_at).total_seconds() > limits.longest_s:
        log.warning("remote_job_not_stopped", engine=stop.engine, remote_id=stop.remote_id)
        return
    poll_s = limits.poll_s.get(provider_of(stop.engine), DEFAULT_POLL_S)
    raise WorkPostponed("The vendor's job is not over yet.", retry_after_s=poll_s)


def _describe(services: Services, job: Job, step: Step, remote_id: str) -> RemoteStop:
    engine = step.engine or job.options.engine
    key = _find_key(services, job, engine)
    return RemoteStop(remote_id, engine, charge_id_of(job, step, engine), key, services.clock())


def _find_key(services: Services, job: Job, engine: str) -> str:
    one_shot = services.one_shots.get(engine)
    if one_shot is not None:
        with suppress(BlobNotFound, DocumentDamaged):
            plan = load_plan(services, job.job_id)
            return stage_keys(services, job).one_shot(plan, one_shot.capabilities).own
    return ""


def _is_booked(services: Services, engine: OneShotEngine, stop: RemoteStop) -> bool:
    """Whether the vendor's job is over, and its cost on the ledger."""
    try:
        answer = engine.collect(stop.remote_id)
    except (RemoteJobLost, EngineRejected) as end:
        close_charge(services, stop.charge_id, end)
        return True
    if answer is None:
        return False
    settle_charge(services, stop.charge_id, answer.bill)
    return True


@contextmanager
def _unadopted(services: Services, stop: RemoteStop) -> Iterator[None]:
    """Inside, no equal piece begins to wait for the vendor's job. Raises WorkInFlight, QueueUnavailable."""
    if not stop.key:
        yield
        return
    with services.flights.hold(stop.key):
        yield


def _is_wanted(services: Services, stop: RemoteStop) -> bool:
    """Whether a job that is not over waits for it: an equal one, or the same one tried again."""
    waiting = services.jobs.find_remote(provider_of(stop.engine), stop.remote_id)
    return any(wanted_job(services, step.job_id) is not None for step in waiting)
