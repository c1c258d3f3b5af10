from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import pytest

from erni.money import Budget, month_start


@pytest.mark.parametrize(
    ("moment", "start"),
    [
        (datetime(2026, 3, 9, 12, 30, 1, 5, tzinfo=UTC), datetime(2026, 3, 1, tzinfo=UTC)),
        (datetime(2026, 3, 1, tzinfo=UTC), datetime(2026, 3, 1, tzinfo=UTC)),
        # Still February in Greenwich.
        (datetime(2026, 3, 1, 0, 30, tzinfo=timezone(timedelta(hours=1))), datetime(2026, 2, 1, tzinfo=UTC)),
    ],
)
def test_month_begins_where_it_does_in_utc(moment: datetime, start: datetime) -> None:
    assert month_start(moment) == start


def test_what_is_left_is_never_below_nothing() -> None:
    assert Budget(None, key_month_usd=1.0, key_spent_usd=1.5).key_left_usd == 0.0


def test_lowest_of_the_limits_is_what_a_job_may_cost() -> None:
    assert Budget(0.5, 2.0, 1.0).most_usd == 0.5
    assert Budget(0.5, 2.0, 1.8).most_usd == pytest.approx(0.2)
    assert Budget(None, None, 100.0).most_usd is None


def test_cap_may_be_spent_to_the_last_cent() -> None:
    assert Budget(0.3, None, 0.0).has_room_for(0.1 + 0.2)
    assert not Budget(0.3, None, 0.0).has_room_for(0.301)


@pytest.mark.parametrize(("spent_usd", "used_up"), [(0.0, False), (0.29, False), (0.1 + 0.2, True), (0.4, True)])
def test_month_is_used_up_once_the_cap_is_spent(spent_usd: float, *, used_up: bool) -> None:
    assert Budget(None, 0.3, spent_usd).is_used_up is used_up
