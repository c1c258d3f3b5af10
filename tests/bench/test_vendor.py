from __future__ import annotations

import pytest

from bench.vendor import MINUTE_S, PER_MINUTE, SLOTS, allowed_time_s


def test_few_calls_are_bounded_by_the_slots() -> None:
    assert allowed_time_s([4.0] * (2 * SLOTS), 0) == pytest.approx(8.0)


def test_short_calls_are_bounded_by_the_limit_on_them() -> None:
    assert allowed_time_s([0.1] * (2 * PER_MINUTE + 1), 0) == pytest.approx(2 * MINUTE_S + 0.1)


def test_both_limits_together_allow_less_than_each_alone() -> None:
    """The window of a call opens a minute after the call 50 places before it began, which waited for a slot."""
    begun_50th_s = 4.5 * (PER_MINUTE // SLOTS)
    assert allowed_time_s([4.5] * (2 * PER_MINUTE), 0) == pytest.approx(MINUTE_S + begun_50th_s + 4.5, abs=4.5)


def test_failed_calls_use_up_the_limit() -> None:
    assert allowed_time_s([0.1] * PER_MINUTE, 5) > allowed_time_s([0.1] * PER_MINUTE, 0)
