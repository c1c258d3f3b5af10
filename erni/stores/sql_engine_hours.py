"""Sums of probes by vendor and hour in SQL, for reports on availability."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime

from sqlalchemy import Engine, case, select

from erni.health import ProbeHour, ProbeResult
from erni.stores.database import insert_into, reading, writing
from erni.stores.tables import ENGINE_HOURS


class SqlEngineHours:
    """``ports.EngineHours`` over a migrated database."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def add(self, result: ProbeResult) -> None:
        latency_s = result.latency_s if result.is_ok else 0.0
        row = {
            "provider": result.provider,
            "hour": result.at.astimezone(UTC).replace(minute=0, second=0, microsecond=0),
            "probes": 1,
            "failures": int(not result.is_ok),
            "latency_sum_s": latency_s,
            "latency_max_s": latency_s,
        }
        columns = ENGINE_HOURS.c
        with writing(self._engine) as connection:
            insert = insert_into(connection, ENGINE_HOURS).values(row)
            new = insert.excluded
            # The databases' greatest-of-two have different names.
            longest_s = case(
                (new.latency_max_s > columns.latency_max_s, new.latency_max_s), else_=columns.latency_max_s
            )
            sums = {name: columns[name] + new[name] for name in ("probes", "failures", "latency_sum_s")}
            upsert = insert.on_conflict_do_update(
                index_elements=[columns.provider, columns.hour], set_={**sums, "latency_max_s": longest_s}
            )
            connection.execute(upsert)

    def hours(self, since: datetime, until: datetime) -> Sequence[ProbeHour]:
        columns = ENGINE_HOURS.c
        query = (
            select(ENGINE_HOURS)
            .where(columns.hour >= since, columns.hour < until)
            .order_by(columns.provider, columns.hour)
        )
        with reading(self._engine) as connection:
            return [ProbeHour(**row) for row in connection.execute(query).mappings()]
