"""What a report says of the evidence, and when it is bad."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from chaos.ledger import Call, DoublePayment, Injection
from chaos.report import NO_FAULT, Evidence, JobEnd, Recovered, Verdict, blame, build_report, complaints, describe

KILL = Recovered(Injection(0, "kill-child", 10.0, 10.1, frozenset({7})), 8.0)
FLUSH = Recovered(Injection(1, "flushall", 50.0, 50.0), 22.0)
EARLY = JobEnd("early", accepted_s=1.0, over_s=20.0, verdict="right")
LATE = JobEnd("late", accepted_s=40.0, over_s=70.0, verdict="right")
PAID = Call(0, "transcribe", "key", "digest", 7, 9.0, 10.0, "paid")
EVIDENCE = Evidence([EARLY, LATE], [], [KILL, FLUSH], {"paid": 12, "cut": 1})


def pay_again(begun_s: float, excuse: str | None = None) -> DoublePayment:
    return DoublePayment(PAID, replace(PAID, number=1, begun_s=begun_s), excuse)


def test_a_clean_run_is_good_and_has_nothing_to_complain_of() -> None:
    report = build_report(1, EVIDENCE)
    assert report.is_good
    assert report.is_quick
    assert list(complaints(report)) == []


def test_a_job_counts_under_the_faults_it_was_in_flight_at() -> None:
    flush, kill = build_report(1, EVIDENCE).rows
    assert (flush.kind, flush.accepted, flush.right) == ("flushall", 1, 1)
    assert (kill.kind, kill.accepted, kill.right) == ("kill-child", 1, 1)


def test_a_job_that_never_ended_counts_under_every_later_fault() -> None:
    stuck = replace(EARLY, over_s=None, verdict="stuck")
    report = build_report(1, replace(EVIDENCE, ends=[stuck]))
    assert [row.stuck for row in report.rows] == [1, 1]


@pytest.mark.parametrize("verdict", ["lost", "stuck", "wrong"])
def test_one_job_that_is_not_right_makes_the_run_bad(verdict: Verdict) -> None:
    report = build_report(1, replace(EVIDENCE, ends=[EARLY, replace(LATE, verdict=verdict, detail="why")]))
    assert not report.is_good
    assert list(complaints(report)) == [f"{verdict}: job late: why"]


def test_a_payment_without_excuse_makes_the_run_bad() -> None:
    assert build_report(1, replace(EVIDENCE, payments=[pay_again(12.0, "caller killed")])).is_good
    assert not build_report(1, replace(EVIDENCE, payments=[pay_again(12.0)])).is_good


def test_an_excused_payment_is_blamed_on_what_excuses_it() -> None:
    assert blame(replace(pay_again(51.0, "caller killed"), fault="kill-child"), [KILL, FLUSH]) == "kill-child"


def test_another_payment_is_blamed_on_the_last_fault_before_it() -> None:
    recovered = [KILL, FLUSH]
    assert blame(pay_again(5.0), recovered) == NO_FAULT
    assert blame(pay_again(12.0), recovered) == "kill-child"
    assert blame(pay_again(51.0), recovered) == "flushall"


def test_a_fault_that_nothing_recovered_from_makes_the_run_bad() -> None:
    report = build_report(1, replace(EVIDENCE, recovered=[replace(KILL, recovery_s=None)]))
    assert not report.is_good
    assert list(complaints(report)) == ["never went on: fault 1, kill-child"]


def test_a_refused_submission_makes_the_run_bad() -> None:
    assert not build_report(1, replace(EVIDENCE, refused=["422 no"])).is_good


def test_a_run_without_jobs_shows_nothing_and_is_bad() -> None:
    assert not build_report(1, replace(EVIDENCE, ends=[])).is_good


@pytest.mark.parametrize("taken_s", [(21.0, 21.0), (1.0, 46.0)])
def test_a_slow_run_says_so_but_is_not_bad(taken_s: tuple[float, float]) -> None:
    recovered = [replace(KILL, recovery_s=taken_s[0]), replace(FLUSH, recovery_s=taken_s[1])]
    report = build_report(1, replace(EVIDENCE, recovered=recovered))
    assert report.is_good
    assert not report.is_quick
    assert list(complaints(report)) == ["slower than meant: median <= 20 s, worst <= 45 s"]


def test_the_report_can_be_kept_as_json() -> None:
    described = json.loads(json.dumps(describe(build_report(1, replace(EVIDENCE, payments=[pay_again(12.0)])))))
    assert described["total"]["median_s"] == 15.0
    assert described["total"]["worst_s"] == 22.0
    assert described["faults"][0]["killed"] == [7]
    assert described["paid_twice"][0]["second"]["begun_s"] == 12.0
