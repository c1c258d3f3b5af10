"""What every ``Ledger`` promises."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import Engine

from erni.errors import SpendingCapReached
from erni.jobs import StepKind
from erni.model import Bill
from erni.money import Charge, SpendingCaps, UsageSum
from erni.ports import Ledger
from erni.stores.sql_ledger import SqlLedger

MARCH = datetime(2026, 3, 1, tzinfo=UTC)
APRIL = datetime(2026, 4, 1, tzinfo=UTC)
NOON = datetime(2026, 3, 9, 12, 0, 0, 123456, tzinfo=UTC)
NO_CAPS = SpendingCaps(MARCH)

RESERVE = """
import sys
from datetime import UTC, datetime
from erni.errors import SpendingCapReached
from erni.jobs import StepKind
from erni.money import Charge, SpendingCaps
from erni.stores.database import open_database
from erni.stores.sql_ledger import SqlLedger
ledger = SqlLedger(open_database(sys.argv[1]))
ledger.spent_by_job("job")
own = f"{id(object())}-{__import__('os').getpid()}"
month = datetime(2026, 3, 1, tzinfo=UTC)
print("ready", flush=True)
input()
made = 0
for number in range(8):
    job = "job" if sys.argv[2] == "job" else f"job-{own}"
    charge = Charge(f"{own}-{number}", month, "acme", "key", job, StepKind.TRANSCRIBE, number, "e", "m", 60.0, 0.5)
    try:
        ledger.reserve(charge, SpendingCaps(month, **{sys.argv[3]: 5.0}))
        made += 1
    except SpendingCapReached:
        pass
print(made)
"""


@pytest.fixture
def ledger(engine: Engine) -> Ledger:
    return SqlLedger(engine, clock=lambda: NOON)


@pytest.fixture
def charge() -> Callable[..., Charge]:
    """A new call for ten cents, paid by key ``key`` of tenant ``acme`` for job ``job`` at noon."""
    numbers = itertools.count()

    def make(**fields: object) -> Charge:
        number = next(numbers)
        made = Charge(
            charge_id=f"charge-{number}",
            at=NOON,
            tenant="acme",
            key_id="key",
            job_id="job",
            kind=StepKind.TRANSCRIBE,
            part=number,
            engine="openai/whisper-1",
            model="whisper-1",
            audio_s=60.0,
            estimated_usd=0.1,
        )
        return replace(made, **fields)  # type: ignore[arg-type]  # names are checked by replace

    return make


def test_reserved_call_counts_as_estimated(ledger: Ledger, charge: Callable[..., Charge]) -> None:
    ledger.reserve(charge(), NO_CAPS)
    assert ledger.spent_by_job("job") == pytest.approx(0.1)
    assert ledger.spent_by_key("key", MARCH) == pytest.approx(0.1)


def test_settled_call_counts_as_the_vendor_reported(ledger: Ledger, charge: Callable[..., Charge]) -> None:
    call = charge()
    ledger.reserve(call, NO_CAPS)
    ledger.settle(call.charge_id, Bill(0.07, {"seconds": 42.0}))
    assert ledger.spent_by_job("job") == pytest.approx(0.07)


def test_call_settled_without_a_bill_counts_as_estimated(ledger: Ledger, charge: Callable[..., Charge]) -> None:
    call = charge()
    ledger.reserve(call, NO_CAPS)
    ledger.settle(call.charge_id, None)
    assert ledger.spent_by_job("job") == pytest.approx(0.1)


def test_call_the_vendor_gave_away_counts_nothing(ledger: Ledger, charge: Callable[..., Charge]) -> None:
    call = charge()
    ledger.reserve(call, NO_CAPS)
    ledger.settle(call.charge_id, Bill(0.0))
    assert ledger.spent_by_job("job") == 0.0


def test_released_call_counts_nothing(ledger: Ledger, charge: Callable[..., Charge]) -> None:
    call = charge()
    ledger.reserve(call, NO_CAPS)
    ledger.release(call.charge_id)
    assert ledger.spent_by_job("job") == 0.0
    assert ledger.sum_usage("acme", MARCH, APRIL) == []


def test_same_charge_reserved_again_is_counted_once(ledger: Ledger, charge: Callable[..., Charge]) -> None:
    call = charge()
    caps = SpendingCaps(MARCH, job_usd=0.1)
    ledger.reserve(call, caps)
    ledger.reserve(call, caps)
    assert ledger.spent_by_job("job") == pytest.approx(0.1)


def test_settled_charge_reserved_again_keeps_its_bill(ledger: Ledger, charge: Callable[..., Charge]) -> None:
    call = charge()
    ledger.reserve(call, NO_CAPS)
    ledger.settle(call.charge_id, Bill(0.07))
    ledger.reserve(call, NO_CAPS)
    assert ledger.spent_by_job("job") == pytest.approx(0.07)


def test_released_charge_can_be_reserved_again(ledger: Ledger, charge: Callable[..., Charge]) -> None:
    call = charge()
    ledger.reserve(call, NO_CAPS)
    ledger.release(call.charge_id)
    ledger.reserve(call, NO_CAPS)
    assert ledger.spent_by_job("job") == pytest.approx(0.1)


def test_released_charge_is_not_reserved_again_beyond_the_cap(ledger: Ledger, charge: Callable[..., Charge]) -> None:
    call, caps = charge(), SpendingCaps(MARCH, job_usd=0.15)
    ledger.reserve(call, caps)
    ledger.release(call.charge_id)
    ledger.reserve(charge(), caps)
    with pytest.raises(SpendingCapReached):
        ledger.reserve(call, caps)
    assert ledger.spent_by_job("job") == pytest.approx(0.1)


def test_second_settlement_changes_nothing(ledger: Ledger, charge: Callable[..., Charge]) -> None:
    call = charge()
    ledger.reserve(call, NO_CAPS)
    ledger.settle(call.charge_id, Bill(0.07))
    ledger.settle(call.charge_id, Bill(0.7))
    ledger.settle(call.charge_id, None)
    assert ledger.spent_by_job("job") == pytest.approx(0.07)


def test_settled_call_is_not_released(ledger: Ledger, charge: Callable[..., Charge]) -> None:
    call = charge()
    ledger.reserve(call, NO_CAPS)
    ledger.settle(call.charge_id, Bill(0.07))
    ledger.release(call.charge_id)
    assert ledger.spent_by_job("job") == pytest.approx(0.07)


def test_bill_that_comes_after_the_release_counts(ledger: Ledger, charge: Callable[..., Charge]) -> None:
    call = charge()
    ledger.reserve(call, NO_CAPS)
    ledger.release(call.charge_id)
    ledger.settle(call.charge_id, Bill(0.07))
    assert ledger.spent_by_job("job") == pytest.approx(0.07)


def test_free_calls_that_were_never_reserved_can_be_settled_and_released(ledger: Ledger) -> None:
    ledger.settle("free", Bill(0.0))
    ledger.release("free")
    assert ledger.sum_usage("acme", MARCH, APRIL) == []


def test_job_may_spend_its_cap_to_the_last_cent(ledger: Ledger, charge: Callable[..., Charge]) -> None:
    caps = SpendingCaps(MARCH, job_usd=0.3)
    for _ in range(3):
        ledger.reserve(charge(), caps)
    with pytest.raises(SpendingCapReached) as refused:
        ledger.reserve(charge(), caps)
    assert "max_usd" in refused.value.message
    assert ledger.spent_by_job("job") == pytest.approx(0.3)


def test_cheaper_bills_leave_room_for_more_calls(ledger: Ledger, charge: Callable[..., Charge]) -> None:
    caps, call = SpendingCaps(MARCH, job_usd=0.1), charge()
    ledger.reserve(call, caps)
    ledger.settle(call.charge_id, Bill(0.0))
    ledger.reserve(charge(), caps)


def test_cap_of_a_key_counts_its_jobs_together(ledger: Ledger, charge: Callable[..., Charge]) -> None:
    caps = SpendingCaps(MARCH, key_month_usd=0.2)
    ledger.reserve(charge(job_id="first"), caps)
    ledger.reserve(charge(job_id="second"), caps)
    with pytest.raises(SpendingCapReached):
        ledger.reserve(charge(job_id="third"), caps)


def test_cap_of_a_key_counts_this_month_only(ledger: Ledger, charge: Callable[..., Charge]) -> None:
    caps = SpendingCaps(MARCH, key_month_usd=0.1)
    ledger.reserve(charge(at=MARCH - timedelta(microseconds=1)), caps)
    ledger.reserve(charge(at=MARCH), caps)
    with pytest.raises(SpendingCapReached):
        ledger.reserve(charge(), caps)
    assert ledger.spent_by_key("key", MARCH) == pytest.approx(0.1)


def test_one_keys_cap_leaves_the_others_alone(ledger: Ledger, charge: Callable[..., Charge]) -> None:
    caps = SpendingCaps(MARCH, key_month_usd=0.1)
    ledger.reserve(charge(), caps)
    ledger.reserve(charge(key_id="other"), caps)
    ledger.reserve(charge(key_id=None), caps)


def test_cap_of_the_job_holds_where_the_keys_has_room(ledger: Ledger, charge: Callable[..., Charge]) -> None:
    with pytest.raises(SpendingCapReached):
        ledger.reserve(charge(), SpendingCaps(MARCH, job_usd=0.05, key_month_usd=100.0))


def test_sums_are_by_key_engine_and_model_within_a_stretch_of_time(
    ledger: Ledger, charge: Callable[..., Charge]
) -> None:
    settled = charge(at=MARCH)
    for call in (
        settled,
        charge(),
        charge(key_id="another"),
        charge(key_id=None),
        charge(engine="pyannote/precision-2", model="precision-2"),
        charge(at=APRIL),
        charge(tenant="other"),
    ):
        ledger.reserve(call, NO_CAPS)
    ledger.settle(settled.charge_id, Bill(0.05))
    openai = ("openai/whisper-1", "whisper-1")
    sums = ledger.sum_usage("acme", MARCH, APRIL)
    assert [(each.key_id, each.engine, each.calls) for each in sums] == [
        ("another", openai[0], 1),
        ("key", openai[0], 2),
        ("key", "pyannote/precision-2", 1),
        (None, openai[0], 1),
    ]
    assert sums[1] == UsageSum("key", *openai, 2, 120.0, pytest.approx(0.2), pytest.approx(0.15))


def test_threads_together_do_not_pass_a_cap(ledger: Ledger, charge: Callable[..., Charge]) -> None:
    def reserve(call: Charge) -> bool:
        try:
            ledger.reserve(call, SpendingCaps(MARCH, job_usd=0.5, key_month_usd=1.0))
        except SpendingCapReached:
            return False
        return True

    with ThreadPoolExecutor(8) as threads:
        made = list(threads.map(reserve, [charge() for _ in range(24)]))
    assert made.count(True) == 5


@pytest.mark.parametrize(("payer", "cap"), [("job", "job_usd"), ("key", "key_month_usd")])
def test_processes_together_do_not_pass_a_cap(
    engine: Engine, records_url: str, run_together: Callable[..., list[str]], payer: str, cap: str
) -> None:
    made = run_together(RESERVE, records_url, payer, cap, processes=4)
    assert sum(map(int, made)) == 10
    assert SqlLedger(engine).spent_by_key("key", MARCH) == pytest.approx(5.0)


def test_job_and_key_capped_at_once_never_wait_for_each_other(ledger: Ledger, charge: Callable[..., Charge]) -> None:
    def reserve(number: int) -> None:
        names = {"job_id": f"job-{number % 2}", "key_id": f"key-{number // 2 % 2}"}
        ledger.reserve(charge(**names), SpendingCaps(MARCH, job_usd=100.0, key_month_usd=100.0))

    with ThreadPoolExecutor(8) as threads:
        list(threads.map(reserve, range(32)))
    assert ledger.spent_by_job("job-0") + ledger.spent_by_job("job-1") == pytest.approx(3.2)
