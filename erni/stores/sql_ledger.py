"""What calls to vendors cost, in SQL. Decides nothing but whether a cap leaves room for one more call.

A row is ``reserved`` before the call, then ``settled`` when it was answered or ``released`` when it cost nothing. One
that stays ``reserved`` belongs to a call of which nobody knows: it counts as estimated.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Final

from sqlalchemy import ColumnElement, Connection, Engine, func, select, text, update

from erni.errors import SpendingCapReached
from erni.model import Bill
from erni.money import ROUNDING_USD, Charge, SpendingCaps, UsageSum
from erni.stores.database import insert_into, reading, writing
from erni.stores.tables import LEDGER

_COST: Final = func.coalesce(LEDGER.c.reported_usd, LEDGER.c.estimated_usd)
_COUNTS: Final = LEDGER.c.status != "released"
_JOB_LOCKS: Final = 0x4C4A
_KEY_LOCKS: Final = 0x4C4B
"""First half of the key of PostgreSQL's advisory locks: "LJ" and "LK" in ASCII."""


def _utc_now() -> datetime:
    return datetime.now(UTC)


class SqlLedger:
    """``ports.Ledger`` over a migrated database."""

    def __init__(self, engine: Engine, *, clock: Callable[[], datetime] = _utc_now) -> None:
        self._engine = engine
        self._clock = clock

    def reserve(self, charge: Charge, caps: SpendingCaps) -> None:
        """A charge released before, as after a rate limit, is reserved again if there is still room."""
        row = {**asdict(charge), "kind": str(charge.kind), "status": "reserved"}
        is_same = LEDGER.c.charge_id == charge.charge_id
        with writing(self._engine) as connection:
            _lock_sums(connection, charge, caps)
            status = connection.scalar(select(LEDGER.c.status).where(is_same))
            if status not in (None, "released"):
                return
            _check_caps(connection, charge, caps)
            insert = insert_into(connection, LEDGER).values(row)
            connection.execute(insert.on_conflict_do_update(index_elements=[LEDGER.c.charge_id], set_=row))

    def settle(self, charge_id: str, bill: Bill | None) -> None:
        """The first settlement stays. An unknown charge is not an error: free calls have none."""
        columns = {
            "status": "settled",
            "settled_at": self._clock(),
            "reported_usd": bill and bill.usd,
            "usage": dict(bill.usage) if bill else None,
        }
        unsettled = (LEDGER.c.charge_id == charge_id) & (LEDGER.c.status != "settled")
        with writing(self._engine) as connection:
            connection.execute(update(LEDGER).where(unsettled).values(columns))

    def release(self, charge_id: str) -> None:
        """What was settled stays. An unknown charge is not an error."""
        reserved = (LEDGER.c.charge_id == charge_id) & (LEDGER.c.status == "reserved")
        with writing(self._engine) as connection:
            connection.execute(update(LEDGER).where(reserved).values(status="released", settled_at=self._clock()))

    def spent_by_job(self, job_id: str) -> float:
        with reading(self._engine) as connection:
            return _sum(connection, _of_job(job_id))

    def spent_by_key(self, key_id: str, since: datetime) -> float:
        with reading(self._engine) as connection:
            return _sum(connection, _of_key(key_id, since))

    def sum_usage(self, tenant: str, since: datetime, until: datetime) -> Sequence[UsageSum]:
        """In the order of key, engine and model; what no key is known of comes last."""
        groups = (LEDGER.c.key_id, LEDGER.c.engine, LEDGER.c.model)
        sums = (
            func.count().label("calls"),
            func.sum(LEDGER.c.audio_s).label("audio_s"),
            func.sum(LEDGER.c.estimated_usd).label("estimated_usd"),
            func.sum(_COST).label("usd"),
        )
        query = select(*groups, *sums).where(
            LEDGER.c.tenant == tenant, LEDGER.c.at >= since, LEDGER.c.at < until, _COUNTS
        )
        query = query.group_by(*groups).order_by(LEDGER.c.key_id.nulls_last(), LEDGER.c.engine, LEDGER.c.model)
        with reading(self._engine) as connection:
            return [UsageSum(**row) for row in connection.execute(query).mappings()]


def _lock_sums(connection: Connection, charge: Charge, caps: SpendingCaps) -> None:
    """Let nobody else add to the sums that the caps are held against.

    On SQLite a transaction that writes has no other beside it. On PostgreSQL the job's lock is always taken first, so
    that no two wait for each other.
    """
    if connection.dialect.name != "postgresql":
        return
    lock = text("SELECT pg_advisory_xact_lock(:space, :name)")
    if caps.job_usd is not None:
        connection.execute(lock, {"space": _JOB_LOCKS, "name": _lock_name(charge.job_id)})
    if caps.key_month_usd is not None and charge.key_id is not None:
        connection.execute(lock, {"space": _KEY_LOCKS, "name": _lock_name(charge.key_id)})


def _lock_name(name: str) -> int:
    """32 bits, signed. Two names that share them wait for each other, and no more."""
    return int.from_bytes(hashlib.sha256(name.encode()).digest()[:4], signed=True)


def _check_caps(connection: Connection, charge: Charge, caps: SpendingCaps) -> None:
    """Raises SpendingCapReached."""
    if caps.job_usd is not None:
        spent_usd = _sum(connection, _of_job(charge.job_id))
        if spent_usd + charge.estimated_usd > caps.job_usd + ROUNDING_USD:
            raise SpendingCapReached(
                f"The job may spend ${caps.job_usd:g}; ${spent_usd:.4f} are spent and this call to {charge.engine}"
                f" would cost ${charge.estimated_usd:.4f}. Raise max_usd, or choose a cheaper or a local engine.",
                field="max_usd",
            )
    if caps.key_month_usd is not None and charge.key_id is not None:
        spent_usd = _sum(connection, _of_key(charge.key_id, caps.month_start))
        if spent_usd + charge.estimated_usd > caps.key_month_usd + ROUNDING_USD:
            raise SpendingCapReached(
                f"The key may spend ${caps.key_month_usd:g} in a month; ${spent_usd:.4f} are spent and this call to"
                f" {charge.engine} would cost ${charge.estimated_usd:.4f}. Wait for the next month, have the operator"
                " raise the cap, or choose a local engine."
            )


def _of_job(job_id: str) -> ColumnElement[bool]:
    return LEDGER.c.job_id == job_id


def _of_key(key_id: str, since: datetime) -> ColumnElement[bool]:
    return (LEDGER.c.key_id == key_id) & (LEDGER.c.at >= since)


def _sum(connection: Connection, condition: ColumnElement[bool]) -> float:
    return connection.scalar(select(func.coalesce(func.sum(_COST), 0.0)).where(condition, _COUNTS)) or 0.0
