"""Paying for calls to vendors: the money is reserved before a call, and what it cost is recorded after it. Free calls
leave no trace.

What a call cost is known from its answer. Where none came, the error says whether the vendor bills it; where that says
nothing either (the time-out, the cut connection), the call counts as estimated: rather a cent too many on the books
than a cap that is passed unseen.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC
from typing import Final

import structlog

from erni.errors import (
    EngineDown,
    EngineError,
    EngineNotAuthorised,
    EngineQuotaExhausted,
    EngineRateLimited,
    EngineRejected,
    EngineResting,
    Interruption,
    RemoteJobAborted,
    RemoteJobFailed,
    SpendingCapReached,
    StorageError,
)
from erni.jobs import Job, JobOptions, Step
from erni.keys import ApiKey
from erni.model import Bill
from erni.money import Budget, Charge, SpendingCaps, month_start
from erni.quoting import Capabilities, Engines, call_price, can_be_free
from erni.services import Services

log = structlog.get_logger(__name__)

NOT_BILLED: Final = (
    EngineDown,
    EngineNotAuthorised,
    EngineQuotaExhausted,
    EngineRateLimited,
    EngineRejected,
    EngineResting,
    # The run ended, or the audio could not be read, before the call was made.
    Interruption,
    StorageError,
)
"""What says that the vendor did no work."""


@dataclass(frozen=True, slots=True)
class Payment:
    """Money set aside for one call. ``settle`` it when the answer is there, with what the vendor says it cost."""

    services: Services
    charge: Charge

    def settle(self, bill: Bill | None) -> None:
        if _is_paid(self.charge):
            settle_charge(self.services, self.charge.charge_id, bill)


@contextmanager
def paid_call(
    services: Services, job: Job, step: Step, capabilities: Capabilities, audio_s: float
) -> Iterator[Payment]:
    """Reserve what the call made inside should cost; give it back where an error says that it was not billed.

    A payment left unsettled, as for a vendor's job whose answer comes later, stays reserved.

    Raises:
        SpendingCapReached: there is no money for the call.
        StorageError: it cannot be recorded, so it must not be made.
    """
    with paid(services, _make_charge(services, job, step, capabilities, audio_s), job.options) as payment:
        yield payment


@contextmanager
def paid(services: Services, charge: Charge, options: JobOptions | None = None) -> Iterator[Payment]:
    """As ``paid_call``, for any charge: one that is no job's is held to what the installation lets a job spend."""
    if not _is_paid(charge):
        yield Payment(services, charge)
        return
    key = services.keys.get_key(charge.key_id) if charge.key_id is not None else None
    services.ledger.reserve(charge, _find_caps(services, key, options))
    try:
        yield Payment(services, charge)
    except NOT_BILLED:
        release_charge(services, charge.charge_id)
        raise


def book_call(services: Services, job: Job, step: Step, capabilities: Capabilities, audio_s: float) -> None:
    """Put a vendor's job on the ledger that is at work although its submission seemed to fail. It is past any cap: the
    money is spent.
    """
    charge = _make_charge(services, job, step, capabilities, audio_s)
    if _is_paid(charge):
        services.ledger.reserve(charge, SpendingCaps(month_start(services.clock()), None, None))


def settle_call(services: Services, job: Job, step: Step, capabilities: Capabilities, bill: Bill | None) -> None:
    """As ``Payment.settle``, for a vendor's job that an earlier run of the step submitted."""
    settle_charge(services, charge_id_of(job, step, capabilities.engine), bill)


def close_call(services: Services, job: Job, step: Step, capabilities: Capabilities, end: EngineError) -> None:
    """Book how a vendor's job ended without an answer: with what it cost until then, or with nothing.

    One of which nobody knows, as where its answer was deleted, stays reserved: it may be billed.
    """
    close_charge(services, charge_id_of(job, step, capabilities.engine), end)


def close_charge(services: Services, charge_id: str, end: EngineError) -> None:
    """As ``close_call``, by the charge's id."""
    if isinstance(end, RemoteJobFailed) and end.usd > 0:
        settle_charge(services, charge_id, Bill(end.usd, end.usage))
    elif isinstance(end, RemoteJobFailed | RemoteJobAborted):
        release_charge(services, charge_id)


def find_budget(services: Services, key: ApiKey, options: JobOptions | None = None) -> Budget:
    """What a key, and a job of it with these options, may spend."""
    caps = _find_caps(services, key, options)
    return Budget(caps.job_usd, caps.key_month_usd, services.ledger.spent_by_key(key.key_id, caps.month_start))


def check_budget(services: Services, caller: ApiKey, options: JobOptions) -> None:
    """Refuse a job that can be done by paid engines only when the caller's key has nothing left this month.

    Raises:
        SpendingCapReached: says what to do.
    """
    if can_be_free(declared_engines(services), options):
        return
    budget = find_budget(services, caller, options)
    if budget.is_used_up:
        raise SpendingCapReached(
            f"This key's jobs have spent ${budget.key_spent_usd:.2f} of ${budget.key_month_usd:g} this month, and the"
            " job's engines cost money. Choose a local engine, wait for the next month, or have the operator raise the"
            " cap."
        )


def declared_engines(services: Services) -> Engines:
    """What the engines that are set up say of themselves, for quotes."""
    return Engines(
        transcribers={name: engine.capabilities for name, engine in services.transcribers.items()},
        diarizers={name: engine.capabilities for name, engine in services.diarizers.items()},
        one_shots={name: engine.capabilities for name, engine in services.one_shots.items()},
    )


def _make_charge(services: Services, job: Job, step: Step, capabilities: Capabilities, audio_s: float) -> Charge:
    return Charge(
        charge_id=charge_id_of(job, step, capabilities.engine),
        at=services.clock(),
        tenant=job.tenant,
        key_id=job.key_id,
        job_id=job.job_id,
        kind=step.kind,
        part=step.part,
        engine=capabilities.engine,
        model=capabilities.model,
        audio_s=audio_s,
        estimated_usd=call_price(job.options, capabilities, audio_s),
    )


def charge_id_of(job: Job, step: Step, engine: str) -> str:
    """Equal for every run of one attempt, so that a worker that dies and the one after it make one row. A restarted job
    counts its attempts anew. A vendor's own job has one for each submission, whichever attempt collects its answer.
    """
    restarted = f"@{job.restarted_at.astimezone(UTC).isoformat()}" if job.restarted_at is not None else ""
    submitted = step.submitted_at.astimezone(UTC).isoformat() if step.submitted_at is not None else step.attempts
    return f"{job.job_id}{restarted}/{step.kind}/{step.part}/{engine}/{submitted}"


def _is_paid(charge: Charge) -> bool:
    return charge.estimated_usd > 0


def _find_caps(services: Services, key: ApiKey | None, options: JobOptions | None) -> SpendingCaps:
    """A key's own cap goes before the installation's; of a job's two caps the lower one holds."""
    limits = services.limits.spending
    own_cap = key.monthly_usd if key is not None else None
    job_caps = (limits.job_usd, options.max_usd if options is not None else None)
    return SpendingCaps(
        month_start=month_start(services.clock()),
        job_usd=min((cap for cap in job_caps if cap is not None), default=None),
        key_month_usd=limits.key_month_usd if own_cap is None else own_cap,
    )


def settle_charge(services: Services, charge_id: str, bill: Bill | None) -> None:
    """Never raises: an answer that is paid for is worth more than its bill, and the estimate is on the books."""
    try:
        services.ledger.settle(charge_id, bill)
    except StorageError as error:
        log.warning("payment_not_settled", charge_id=charge_id, reason=error.message)


def release_charge(services: Services, charge_id: str) -> None:
    """Never raises: the error that led here matters more."""
    try:
        services.ledger.release(charge_id)
    except StorageError as error:
        log.warning("payment_not_released", charge_id=charge_id, reason=error.message)
