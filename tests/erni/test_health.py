from __future__ import annotations

from datetime import UTC, date, datetime

import pytest

from erni.capabilities import Terms
from erni.health import ProbeHour, find_retirements, sum_hours

TODAY = date(2026, 11, 28)


def hour(probes: int, failures: int, latency_sum_s: float = 0.0, latency_max_s: float = 0.0) -> ProbeHour:
    return ProbeHour("openai", datetime(2026, 11, 28, tzinfo=UTC), probes, failures, latency_sum_s, latency_max_s)


def test_hours_add_up_and_failures_count_for_availability_but_not_for_latency() -> None:
    total = sum_hours([hour(60, 15, 9.0, 0.5), hour(40, 10, 5.0, 2.0)])
    assert (total.probes, total.failures) == (100, 25)
    assert total.availability == 0.75
    assert total.latency_mean_s == pytest.approx(14.0 / 75)
    assert total.latency_max_s == 2.0


def test_without_probes_nobody_knows_and_without_success_there_is_no_latency() -> None:
    assert sum_hours([]).availability is None
    assert sum_hours([hour(3, 3)]).availability == 0.0
    assert sum_hours([hour(3, 3)]).latency_mean_s is None


def test_engine_is_named_from_ninety_days_before_its_end_and_ever_after() -> None:
    ends = {"a": date(2027, 2, 26), "b": date(2027, 2, 27), "c": TODAY, "d": None}
    terms = {name: Terms(account="vendor:1", retires_on=end) for name, end in ends.items()}
    assert [(each.engine, each.days_left) for each in find_retirements(terms, TODAY)] == [("c", 0), ("a", 90)]


def test_sentence_says_whether_the_end_is_to_come_or_past() -> None:
    terms = {"a": Terms(account="vendor:1", retires_on=date(2027, 2, 26))}
    (soon,) = find_retirements(terms, TODAY)
    (past,) = find_retirements(terms, date(2027, 3, 1))
    assert soon.sentence == "a ends on 2027-02-26, in 90 days; choose another engine before."
    assert past.sentence == "a ended on 2027-02-26; use another engine."
