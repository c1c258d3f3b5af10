from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta, timezone

import pytest
from sqlalchemy import Engine

from erni.errors import StorageError
from erni.health import ProbeHour, ProbeResult
from erni.stores.database import open_database
from erni.stores.sql_engine_hours import SqlEngineHours

NINE = datetime(2026, 11, 23, 9, tzinfo=UTC)
HOUR = timedelta(hours=1)

ADD = """
import sys
from datetime import UTC, datetime
from erni.health import ProbeResult
from erni.stores.database import open_database
from erni.stores.sql_engine_hours import SqlEngineHours
hours = SqlEngineHours(open_database(sys.argv[1]))
print("ready", flush=True)
input()
for _ in range(10):
    hours.add(ProbeResult("openai", datetime(2026, 11, 23, 9, tzinfo=UTC), 0.5))
"""


def result(minute: float, latency_s: float, failure: str | None = None, provider: str = "openai") -> ProbeResult:
    return ProbeResult(provider, NINE + timedelta(minutes=minute), latency_s, failure)


def test_probes_are_summed_by_vendor_and_hour(engine: Engine) -> None:
    hours = SqlEngineHours(engine)
    for each in (
        result(0, 0.5),
        result(59.9, 0.25),
        result(30, 15.0, "engine_unavailable"),
        result(60, 1.0),
        result(1, 2.0, provider="pyannote"),
    ):
        hours.add(each)
    assert hours.hours(NINE, NINE + 2 * HOUR) == [
        ProbeHour("openai", NINE, probes=3, failures=1, latency_sum_s=0.75, latency_max_s=0.5),
        ProbeHour("openai", NINE + HOUR, probes=1, failures=0, latency_sum_s=1.0, latency_max_s=1.0),
        ProbeHour("pyannote", NINE, probes=1, failures=0, latency_sum_s=2.0, latency_max_s=2.0),
    ]


def test_hours_are_those_of_utc_wherever_the_probe_was_made(engine: Engine) -> None:
    hours = SqlEngineHours(engine)
    kathmandu = timezone(timedelta(hours=5, minutes=45))
    hours.add(ProbeResult("openai", (NINE + timedelta(minutes=20)).astimezone(kathmandu), 0.5))
    assert [hour.hour for hour in hours.hours(NINE, NINE + HOUR)] == [NINE]


def test_the_first_hour_is_in_the_stretch_and_the_last_is_not(engine: Engine) -> None:
    hours = SqlEngineHours(engine)
    hours.add(result(0, 0.5))
    assert hours.hours(NINE - HOUR, NINE) == []
    assert len(hours.hours(NINE, NINE + HOUR)) == 1


def test_no_probe_is_lost_when_several_count_at_once(
    engine: Engine, records_url: str, run_together: Callable[..., list[str]]
) -> None:
    run_together(ADD, records_url, processes=3)
    (hour,) = SqlEngineHours(engine).hours(NINE, NINE + HOUR)
    assert (hour.probes, hour.latency_sum_s) == (30, 15.0)


def test_database_that_is_away_is_a_storage_error(tmp_path: object) -> None:
    hours = SqlEngineHours(open_database(f"sqlite:///{tmp_path}/absent/records.db"))
    with pytest.raises(StorageError):
        hours.hours(NINE, NINE + HOUR)
