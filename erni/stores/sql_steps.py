"""The statements on the steps of a job. Opens no transaction: ``sql_jobs`` does, and locks the job's row first."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Final

from sqlalchemy import ColumnElement, Connection, bindparam, case, delete, null, select, update

from erni.jobs import Piece, Step, StepKind
from erni.stores.database import insert_into
from erni.stores.rows import parse_step, step_row
from erni.stores.tables import JOB_STEPS

_KEY: Final = (JOB_STEPS.c.job_id, JOB_STEPS.c.kind, JOB_STEPS.c.part)
_KINDS: Final = [kind.value for kind in StepKind]
_HAS_KNOWN_KIND: Final = JOB_STEPS.c.kind.in_(_KINDS)
_IS_RUNNING: Final = JOB_STEPS.c.status == "running"
_STANDING: Final = (
    "deliveries",
    "engine",
    "reason",
    "attempts",
    "waits",
    "retry_at",
    "failures",
    "submitted_at",
    "remote_id",
    "heard_at",
)
"""Columns that say how a running step stands."""


def count_delivery(connection: Connection, job_id: str, piece: Piece, now: datetime) -> Step:
    """Count one more delivery; a step that is over keeps all else, any other runs from ``now`` on and waits no more."""
    insert = insert_into(connection, JOB_STEPS).values(
        job_id=job_id, kind=piece.kind.value, part=piece.part, status="running", deliveries=1, started_at=now
    )
    upsert = insert.on_conflict_do_update(
        index_elements=_KEY,
        set_={
            "deliveries": JOB_STEPS.c.deliveries + 1,
            "started_at": case((_IS_RUNNING, insert.excluded.started_at), else_=JOB_STEPS.c.started_at),
            "retry_at": case((_IS_RUNNING, null()), else_=JOB_STEPS.c.retry_at),
            "reason": case((_IS_RUNNING, null()), else_=JOB_STEPS.c.reason),
        },
    )
    return parse_step(connection.execute(upsert.returning(JOB_STEPS)).mappings().one())


def uncount_delivery(connection: Connection, job_id: str, piece: Piece) -> None:
    counted = update(JOB_STEPS).where(_is_step(job_id, piece), JOB_STEPS.c.deliveries > 0)
    connection.execute(counted.values(deliveries=JOB_STEPS.c.deliveries - 1))


def save_standing(connection: Connection, step: Step) -> None:
    """An id noted from outside since the step was read stays, unless this step is of another submission."""
    row = step_row(step)
    standing = {name: row[name] for name in _STANDING}
    if step.remote_id is None and step.submitted_at is not None:
        is_same = JOB_STEPS.c.submitted_at == step.submitted_at
        standing["remote_id"] = case((is_same, JOB_STEPS.c.remote_id), else_=null())
    running = update(JOB_STEPS).where(_is_step(step.job_id, step.piece), _IS_RUNNING)
    connection.execute(running.values(standing))


def record_end(connection: Connection, step: Step) -> None:
    """A step that was begun keeps its count of deliveries; one that is over keeps everything."""
    row = {**step_row(step), "retry_at": None}
    end = {name: row[name] for name in row.keys() - {"job_id", "kind", "part", "deliveries"}}
    insert = insert_into(connection, JOB_STEPS).values(row)
    connection.execute(insert.on_conflict_do_update(index_elements=_KEY, set_=end, where=_IS_RUNNING))


def remove(connection: Connection, job_id: str, pieces: Sequence[Piece]) -> None:
    statement = delete(JOB_STEPS).where(
        JOB_STEPS.c.job_id == job_id,
        JOB_STEPS.c.kind == bindparam("piece_kind"),
        JOB_STEPS.c.part == bindparam("piece_part"),
    )
    # One statement for all of them would have more values than a database takes at a time.
    connection.execute(statement, [{"piece_kind": kind.value, "piece_part": part} for kind, part in pieces])


def find(connection: Connection, job_id: str, piece: Piece) -> Step | None:
    row = connection.execute(select(JOB_STEPS).where(_is_step(job_id, piece))).mappings().first()
    return parse_step(row) if row else None


def find_all(connection: Connection, job_id: str) -> Sequence[Step]:
    """In the order of ``StepKind``, then by part; kinds this release does not know are left out."""
    query = select(JOB_STEPS).where(JOB_STEPS.c.job_id == job_id, _HAS_KNOWN_KIND)
    found = [parse_step(row) for row in connection.execute(query).mappings()]
    return sorted(found, key=lambda step: (_KINDS.index(step.kind.value), step.part))


def note_remote(connection: Connection, job_id: str, piece: Piece, provider: str, remote_id: str) -> bool:
    unknown = update(JOB_STEPS).where(
        _is_step(job_id, piece),
        _IS_RUNNING,
        _is_by(provider),
        JOB_STEPS.c.submitted_at.is_not(None),
        JOB_STEPS.c.remote_id.is_(None),
    )
    return connection.execute(unknown.values(remote_id=remote_id)).rowcount == 1


def find_remote(connection: Connection, provider: str, remote_id: str) -> Sequence[Step]:
    query = select(JOB_STEPS).where(
        JOB_STEPS.c.remote_id == remote_id,
        _is_by(provider),
        _HAS_KNOWN_KIND,
        _IS_RUNNING,
    )
    return [parse_step(row) for row in connection.execute(query).mappings()]


def _is_by(provider: str) -> ColumnElement[bool]:
    return JOB_STEPS.c.engine.startswith(f"{provider}/", autoescape=True)


def _is_step(job_id: str, piece: Piece) -> ColumnElement[bool]:
    return (JOB_STEPS.c.job_id == job_id) & (JOB_STEPS.c.kind == piece.kind.value) & (JOB_STEPS.c.part == piece.part)
