from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from erni.capabilities import DiarizerCapabilities, Terms, TranscriberCapabilities
from erni.engines.scripted import ScriptedDiarizer, ScriptedTranscriber
from erni.errors import (
    EngineAnswerInvalid,
    EngineDown,
    EngineError,
    EngineNotAuthorised,
    EngineQuotaExhausted,
    EngineRateLimited,
    EngineRejected,
    EngineResting,
    EngineUnavailable,
    ErniError,
    JobStopped,
    RemoteJobAborted,
    RemoteJobFailed,
    RemoteJobLost,
    SpendingCapReached,
    StorageError,
    WorkHandedBack,
    WorkPostponed,
)
from erni.jobs import Job, JobOptions, JobStatus, Step, StepKind
from erni.keys import ApiKey, hash_token
from erni.model import Bill
from erni.services import Services, SpendingLimits
from erni.steps.paying import check_budget, close_call, find_budget, paid_call, settle_call
from erni.stores.database import open_database
from erni.stores.sql_ledger import SqlLedger

NOON = datetime(2026, 3, 9, 12, tzinfo=UTC)
REMOTE = Terms(account="vendor:1234")
LOCAL = TranscriberCapabilities("local", "tiny", languages=None)
VENDOR = TranscriberCapabilities("vendor/fast", "fast", languages=None, usd_per_minute=0.1, terms=REMOTE)
LISTENER = DiarizerCapabilities(
    "vendor/turns", "turns", usd_per_minute=0.1, max_voiceprints=50, usd_per_minute_identify=0.02, terms=REMOTE
)
KEY = ApiKey("payer", "acme", "user", hash_token("erni_payer"), NOON)
PAID = JobOptions(engine="vendor/fast", diarizer=None)
STEP = Step("0" * 32, StepKind.TRANSCRIBE, 3, "running", 1, NOON, engine="vendor/fast")


def make_job(**fields: object) -> Job:
    job = Job("0" * 32, "acme", JobStatus.PROCESSING, PAID, NOON, "digest", 1, key_id="payer")
    return replace(job, **fields)  # type: ignore[arg-type]  # names are checked by replace


@pytest.fixture
def limit(services: Services) -> Callable[..., Services]:
    """The same services with other spending limits."""

    def change(**spending: float) -> Services:
        return replace(services, limits=replace(services.limits, spending=SpendingLimits(**spending)))

    return change


@pytest.fixture(autouse=True)
def key(services: Services) -> ApiKey:
    services.keys.add_key(KEY)
    return KEY


def spent(services: Services) -> float:
    return services.ledger.spent_by_job("0" * 32)


def call(services: Services, job: Job, step: Step = STEP, error: ErniError | None = None) -> None:
    """A minute of audio to the vendor, which answers with an error if there is one, else without a bill."""
    with paid_call(services, job, step, VENDOR, 60.0) as payment:
        if error is not None:
            raise error
        payment.settle(None)


def test_call_costs_what_the_vendor_reports(services: Services) -> None:
    with paid_call(services, make_job(), STEP, VENDOR, 60.0) as payment:
        assert spent(services) == pytest.approx(0.1)
        payment.settle(Bill(0.07, {"seconds": 42.0}))
    assert spent(services) == pytest.approx(0.07)


def test_local_call_leaves_no_trace(services: Services) -> None:
    with paid_call(services, make_job(), STEP, LOCAL, 60.0) as payment:
        payment.settle(None)
    assert services.ledger.sum_usage("acme", NOON - timedelta(days=9999), NOON + timedelta(days=9999)) == []


def test_charge_says_who_pays_for_what(services: Services) -> None:
    call(services, make_job())
    now = services.clock()
    (usage,) = services.ledger.sum_usage("acme", now, now + timedelta(seconds=1))
    assert (usage.key_id, usage.engine, usage.model, usage.audio_s) == ("payer", "vendor/fast", "fast", 60.0)


@pytest.mark.parametrize(
    "error_class",
    [
        EngineDown,
        EngineRateLimited,
        EngineResting,
        EngineRejected,
        EngineNotAuthorised,
        EngineQuotaExhausted,
        JobStopped,
        WorkHandedBack,
        WorkPostponed,
        StorageError,
    ],
)
def test_call_that_was_not_done_is_not_counted(services: Services, error_class: type[ErniError]) -> None:
    with pytest.raises(error_class):
        call(services, make_job(), error=error_class("x"))
    assert spent(services) == 0.0


@pytest.mark.parametrize("error_class", [EngineUnavailable, EngineAnswerInvalid])
def test_call_of_which_nobody_knows_counts_as_estimated(services: Services, error_class: type[ErniError]) -> None:
    with pytest.raises(error_class):
        call(services, make_job(), error=error_class("x"))
    assert spent(services) == pytest.approx(0.1)


def test_run_that_died_and_the_one_after_it_are_one_charge(services: Services) -> None:
    with pytest.raises(KeyboardInterrupt), paid_call(services, make_job(), STEP, VENDOR, 60.0):
        raise KeyboardInterrupt
    call(services, make_job())
    assert spent(services) == pytest.approx(0.1)


def test_next_attempt_is_another_charge(services: Services) -> None:
    with pytest.raises(EngineUnavailable):
        call(services, make_job(), error=EngineUnavailable("x"))
    call(services, make_job(), replace(STEP, attempts=1))
    assert spent(services) == pytest.approx(0.2)


def test_restarted_job_begins_with_charges_of_its_own(services: Services) -> None:
    call(services, make_job())
    call(services, make_job(restarted_at=NOON))
    call(services, make_job(restarted_at=NOON))
    assert spent(services) == pytest.approx(0.2)


def test_call_refused_by_the_rate_limit_is_counted_when_its_turn_comes(services: Services) -> None:
    with pytest.raises(EngineRateLimited):
        call(services, make_job(), error=EngineRateLimited("x"))
    call(services, make_job(), replace(STEP, waits=1))
    assert spent(services) == pytest.approx(0.1)


def test_caller_may_lower_the_cap_of_a_job(limit: Callable[..., Services]) -> None:
    with pytest.raises(SpendingCapReached):
        call(limit(job_usd=0.15), make_job(options=replace(PAID, max_usd=0.05)))


def test_caller_may_not_raise_the_cap_of_a_job(limit: Callable[..., Services]) -> None:
    services, job = limit(job_usd=0.15), make_job(options=replace(PAID, max_usd=100.0))
    call(services, job)
    with pytest.raises(SpendingCapReached):
        call(services, job, replace(STEP, part=4))


def test_call_beyond_the_cap_is_never_made(limit: Callable[..., Services]) -> None:
    with pytest.raises(SpendingCapReached), paid_call(limit(job_usd=0.09), make_job(), STEP, VENDOR, 60.0):
        pytest.fail("the call was made")


def test_own_cap_of_a_key_goes_before_the_installations(limit: Callable[..., Services]) -> None:
    services = limit(key_month_usd=0.05)
    with pytest.raises(SpendingCapReached):
        call(services, make_job())
    services.keys.set_monthly_cap("payer", 0.1)
    call(services, make_job())
    with pytest.raises(SpendingCapReached):
        call(services, make_job(job_id="1" * 32))


def test_key_without_room_this_month_has_some_in_the_next(limit: Callable[..., Services]) -> None:
    services = limit(key_month_usd=0.1)
    call(services, make_job())
    with pytest.raises(SpendingCapReached):
        call(services, make_job(job_id="1" * 32))
    next_month = replace(services, clock=lambda: services.clock() + timedelta(days=32))
    call(next_month, make_job(job_id="1" * 32))


def test_job_of_nobodys_key_is_held_to_its_own_cap_only(limit: Callable[..., Services]) -> None:
    services = limit(key_month_usd=0.05, job_usd=0.1)
    call(services, make_job(key_id=None))
    with pytest.raises(SpendingCapReached):
        call(services, make_job(key_id=None), replace(STEP, part=4))


def test_looking_for_known_voices_is_part_of_the_estimate(services: Services) -> None:
    step = replace(STEP, kind=StepKind.DIARIZE, part=0)
    job = make_job(options=replace(PAID, method="voiceprint", diarizer="vendor/turns", voiceprints=("a",)))
    with paid_call(services, job, step, LISTENER, 60.0):
        assert spent(services) == pytest.approx(0.12)


def test_vendors_job_is_reserved_when_submitted_and_settled_when_collected(services: Services) -> None:
    job, step = make_job(), replace(STEP, kind=StepKind.DIARIZE, part=0, submitted_at=NOON)
    with paid_call(services, job, step, LISTENER, 60.0):
        pass
    assert spent(services) == pytest.approx(0.1)
    collected = replace(step, remote_id="remote-1", deliveries=7, attempts=2)
    settle_call(services, job, collected, LISTENER, Bill(0.05))
    assert spent(services) == pytest.approx(0.05)


@pytest.mark.parametrize(
    ("end", "cost"),
    [
        (RemoteJobAborted("It never began."), 0.0),
        (RemoteJobFailed("It failed."), 0.0),
        (RemoteJobFailed("It was cancelled.", usd=0.03, usage={"seconds": 30.0}), 0.03),
        (RemoteJobLost("Its answer is deleted."), 0.1),
        (EngineRejected("It may not be looked at."), 0.1),
    ],
)
def test_vendors_job_that_ended_without_an_answer_costs_what_the_vendor_bills(
    services: Services, end: EngineError, cost: float
) -> None:
    job, step = make_job(), replace(STEP, kind=StepKind.DIARIZE, part=0)
    with paid_call(services, job, step, LISTENER, 60.0):
        pass
    close_call(services, job, replace(step, remote_id="remote-1"), LISTENER, end)
    assert spent(services) == pytest.approx(cost)


@pytest.fixture
def lost_ledger(tmp_path: Path) -> SqlLedger:
    """A ledger whose tables are not there."""
    return SqlLedger(open_database(f"sqlite:///{tmp_path}/empty.db"))


def test_call_is_not_made_while_the_ledger_is_away(services: Services, lost_ledger: SqlLedger) -> None:
    away = replace(services, ledger=lost_ledger)
    with pytest.raises(StorageError), paid_call(away, make_job(), STEP, VENDOR, 60.0):
        pytest.fail("the call was made")


def test_answer_is_kept_when_its_bill_cannot_be_recorded(services: Services, lost_ledger: SqlLedger) -> None:
    with paid_call(services, make_job(), STEP, VENDOR, 60.0) as payment:
        replace(payment, services=replace(services, ledger=lost_ledger)).settle(Bill(0.07))
    assert spent(services) == pytest.approx(0.1)


def test_money_that_cannot_be_given_back_stays_reserved_and_raises_nothing(
    services: Services, lost_ledger: SqlLedger
) -> None:
    with paid_call(services, make_job(), STEP, VENDOR, 60.0):
        pass
    away = replace(services, ledger=lost_ledger)
    close_call(away, make_job(), replace(STEP, remote_id="remote-1"), VENDOR, RemoteJobAborted("It never began."))
    assert spent(services) == pytest.approx(0.1)


def test_budget_is_what_is_left_of_the_caps(limit: Callable[..., Services]) -> None:
    services = limit(job_usd=2.0, key_month_usd=1.0)
    call(services, make_job())
    budget = find_budget(services, KEY, replace(PAID, max_usd=0.5))
    assert (budget.job_usd, budget.key_month_usd) == (0.5, 1.0)
    assert budget.key_left_usd == pytest.approx(0.9)
    assert budget.has_room_for(0.5)
    assert not budget.has_room_for(0.51)


def test_nothing_limits_a_budget_without_caps(services: Services) -> None:
    budget = find_budget(services, KEY)
    assert (budget.key_left_usd, budget.has_room_for(1e9)) == (None, True)


@pytest.fixture
def spent_month(limit: Callable[..., Services]) -> Services:
    """A key's month is used up; a vendor's engines and local ones are set up."""
    services = limit(key_month_usd=0.1)
    call(services, make_job())
    return replace(
        services,
        transcribers={each.engine: ScriptedTranscriber(lambda _: (), each) for each in (VENDOR, LOCAL)},
        diarizers={"vendor/turns": ScriptedDiarizer(lambda _: (), LISTENER)},
    )


def test_job_is_refused_when_the_month_is_used_up(spent_month: Services) -> None:
    with pytest.raises(SpendingCapReached) as refused:
        check_budget(spent_month, KEY, PAID)
    assert "$0.10 of $0.1" in refused.value.message


def test_job_for_local_engines_is_taken_whatever_was_spent(spent_month: Services) -> None:
    check_budget(spent_month, KEY, replace(PAID, engine="local"))
    check_budget(spent_month, KEY, replace(PAID, fallback=("local",)))
    with pytest.raises(SpendingCapReached):
        check_budget(spent_month, KEY, replace(PAID, engine="local", diarizer="vendor/turns"))


def test_job_is_taken_while_the_key_has_a_cent_left(spent_month: Services) -> None:
    spent_month.keys.set_monthly_cap("payer", 0.11)
    caller = spent_month.keys.get_key("payer")
    assert caller is not None
    check_budget(spent_month, caller, PAID)
