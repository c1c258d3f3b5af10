"""The moment type, which both databases store differently."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import pytest
from sqlalchemy.dialects import postgresql, sqlite

from erni.stores.tables import UTCDateTime

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)


@pytest.mark.parametrize("dialect", [sqlite.dialect(), postgresql.dialect()], ids=["sqlite", "postgresql"])
def test_moment_is_kept_across_time_zones(dialect: object) -> None:
    elsewhere = NOON.astimezone(timezone(timedelta(hours=5, minutes=30)))
    stored = UTCDateTime().process_bind_param(elsewhere, dialect)
    read = UTCDateTime().process_result_value(stored, dialect)
    assert read == NOON
    assert read.tzinfo is UTC


def test_datetime_without_a_zone_is_refused() -> None:
    with pytest.raises(ValueError, match="time zone"):
        UTCDateTime().process_bind_param(NOON.replace(tzinfo=None), sqlite.dialect())
