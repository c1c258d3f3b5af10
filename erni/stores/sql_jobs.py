"""Jobs and their steps in SQL: the truth. Decides nothing; ``erni.jobs`` says which moves exist.

Transactions lock a job's row before its steps' rows, always in this order: no two wait for each other.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from sqlalchemy import (
    Column,
    ColumnElement,
    Connection,
    Engine,
    RowMapping,
    Select,
    delete,
    func,
    literal,
    select,
    tuple_,
    update,
)

from erni.errors import InvalidOption, JobNotFound, StorageError
from erni.jobs import ACTIVE_STATUSES, FINAL_STATUSES, MOVES_INTO, Job, JobFields, JobStatus, Piece, Step
from erni.stores import sql_steps
from erni.stores.database import insert_into, reading, writing
from erni.stores.rows import job_columns, job_row, parse_job
from erni.stores.tables import JOBS

_PAGE_ROWS: Final = 200
_TICK: Final = timedelta(microseconds=1)
"""The least difference between moments that both databases keep."""


def _utc_now() -> datetime:
    return datetime.now(UTC)


class SqlJobStore:
    """``ports.JobStore`` over a migrated database. Every write to a job or its steps sets ``updated_at``."""

    def __init__(self, engine: Engine, *, clock: Callable[[], datetime] = _utc_now) -> None:
        self._engine = engine
        self._clock = clock

    def add(self, job: Job) -> Job:
        """Adding the same job again is no error either: it returns what is recorded."""
        row = job_row(job)
        with writing(self._engine) as connection:
            insert = insert_into(connection, JOBS).on_conflict_do_nothing().returning(JOBS.c.job_id)
            if connection.execute(insert, row).first() is not None:
                return replace(job, updated_at=job.updated_at or job.created_at)
            is_same = JOBS.c.job_id == job.job_id
            if job.idempotency_key is not None:
                is_same |= JOBS.c.idempotency_key == job.idempotency_key
            query = select(JOBS).where(JOBS.c.tenant == job.tenant, is_same)
            recorded = connection.execute(query).mappings().first()
        if recorded is None:
            raise StorageError("The earlier job with this key was deleted just now. Try again.")
        return parse_job(recorded)

    def get(self, job_id: str, *, tenant: str | None = None) -> Job:
        query = select(JOBS).where(JOBS.c.job_id == job_id)
        if tenant is not None:
            query = query.where(JOBS.c.tenant == tenant)
        with reading(self._engine) as connection:
            row = connection.execute(query).mappings().first()
        if row is None:
            raise JobNotFound("There is no job with this id.")
        return parse_job(row)

    def find_by_idempotency_key(self, tenant: str, key: str) -> Job | None:
        query = select(JOBS).where(JOBS.c.tenant == tenant, JOBS.c.idempotency_key == key)
        with reading(self._engine) as connection:
            row = connection.execute(query).mappings().first()
        return parse_job(row) if row is not None else None

    def list_jobs(
        self, tenant: str, *, limit: int, after: str | None = None, status: JobStatus | None = None
    ) -> Sequence[Job]:
        """A job whose status this release does not know is left out.

        Raises:
            InvalidOption: ``after`` is not a job of this tenant.
        """
        statuses = JobStatus if status is None else (status,)
        query = select(JOBS).where(JOBS.c.tenant == tenant, _has_status(statuses))
        query = query.order_by(JOBS.c.created_at.desc(), JOBS.c.job_id.desc()).limit(limit)
        with reading(self._engine) as connection:
            if after is not None:
                created_at = self._created_at(connection, after, tenant)
                query = query.where(tuple_(JOBS.c.created_at, JOBS.c.job_id) < tuple_(created_at, literal(after)))
            return [parse_job(row) for row in connection.execute(query).mappings()]

    def advance(self, job_id: str, to: JobStatus, fields: JobFields | None = None) -> bool:
        """A job that is over gets ``finished_at`` here unless ``fields`` has it, for retention goes by it."""
        now = self._clock()
        columns = {"updated_at": now, **job_columns(fields or {}), "status": to.value}
        if to.is_over:
            columns.setdefault("finished_at", now)
        may_move = (JOBS.c.job_id == job_id) & _has_status(MOVES_INTO.get(to, ()))
        with writing(self._engine) as connection:
            return connection.execute(update(JOBS).where(may_move).values(columns)).rowcount == 1

    def update(self, job_id: str, fields: JobFields) -> None:
        columns = {"updated_at": self._clock(), **job_columns(fields)}
        with writing(self._engine) as connection:
            connection.execute(update(JOBS).where(JOBS.c.job_id == job_id).values(columns))

    def delete(self, job_id: str) -> None:
        with writing(self._engine) as connection:
            connection.execute(delete(JOBS).where(JOBS.c.job_id == job_id))

    def begin_step(self, job_id: str, piece: Piece) -> Step:
        """A step that is over keeps its times and its end; only the delivery is counted.

        Raises:
            JobNotFound: the job is gone, so there is nothing to do any more.
        """
        now = self._clock()
        with writing(self._engine) as connection:
            if not _touch(connection, job_id, now):
                raise JobNotFound("There is no job with this id.")
            return sql_steps.count_delivery(connection, job_id, piece, now)

    def release_step(self, job_id: str, piece: Piece) -> None:
        """A step that is gone, or was never begun, is not an error."""
        with writing(self._engine) as connection:
            _touch(connection, job_id, self._clock())
            sql_steps.uncount_delivery(connection, job_id, piece)

    def save_step(self, step: Step) -> None:
        """``step.deliveries`` is recorded as well. A step that is gone is not an error."""
        with writing(self._engine) as connection:
            _touch(connection, step.job_id, self._clock())
            sql_steps.save_standing(connection, step)

    def finish_step(self, step: Step) -> None:
        """``step.deliveries`` counts only for a step never begun. A job that is gone is not an error."""
        with writing(self._engine) as connection:
            if _touch(connection, step.job_id, self._clock()):
                sql_steps.record_end(connection, step)

    def forget_steps(self, job_id: str, pieces: Sequence[Piece]) -> None:
        """Steps that are gone, or were never begun, are not an error."""
        if not pieces:
            return
        with writing(self._engine) as connection:
            _touch(connection, job_id, self._clock())
            sql_steps.remove(connection, job_id, pieces)

    def find_step(self, job_id: str, piece: Piece) -> Step | None:
        with reading(self._engine) as connection:
            return sql_steps.find(connection, job_id, piece)

    def steps(self, job_id: str) -> Sequence[Step]:
        """In the order of ``StepKind``, then by part; kinds this release does not know are left out."""
        with reading(self._engine) as connection:
            return sql_steps.find_all(connection, job_id)

    def claim(self, job: Job) -> bool:
        """A job that has moved since is not claimed either, even if that left no trace in ``updated_at``."""
        seen_at = job.updated_at or job.created_at
        # Never back and never the same: the clock may stand still between two claims, or go behind another host's.
        claimed_at = max(self._clock(), seen_at + _TICK)
        is_as_seen = (JOBS.c.job_id == job.job_id) & (JOBS.c.updated_at == seen_at) & _has_status((job.status,))
        with writing(self._engine) as connection:
            return connection.execute(update(JOBS).where(is_as_seen).values(updated_at=claimed_at)).rowcount == 1

    def count_active(self, tenant: str) -> int:
        query = select(func.count()).select_from(JOBS).where(JOBS.c.tenant == tenant, _has_status(ACTIVE_STATUSES))
        with reading(self._engine) as connection:
            return connection.execute(query).scalar_one()

    def oldest_queued(self, tenant: str, *, limit: int) -> Sequence[Job]:
        """Jobs of the same moment come in the order of their ids."""
        query = select(JOBS).where(JOBS.c.tenant == tenant, JOBS.c.status == JobStatus.QUEUED.value)
        query = query.order_by(JOBS.c.created_at, JOBS.c.job_id).limit(limit)
        with reading(self._engine) as connection:
            return [parse_job(row) for row in connection.execute(query).mappings()]

    def unfinished(self) -> Iterator[Job]:
        """Read page by page: no transaction is open while the caller works on a job."""
        return self._pages(_has_status(set(JobStatus) - FINAL_STATUSES), JOBS.c.created_at)

    def finished_before(self, moment: datetime) -> Iterator[Job]:
        """Oldest end first; read page by page like ``unfinished``."""
        return self._pages(_has_status(FINAL_STATUSES) & (JOBS.c.finished_at < moment), JOBS.c.finished_at)

    def count_by_status(self) -> dict[JobStatus, int]:
        """Every status, also those no job has."""
        query = select(JOBS.c.status, func.count().label("jobs")).group_by(JOBS.c.status)
        with reading(self._engine) as connection:
            counts = {row.status: row.jobs for row in connection.execute(query)}
        return {status: counts.get(status.value, 0) for status in JobStatus}

    def existing(self, job_ids: Sequence[str]) -> set[str]:
        found: set[str] = set()
        with reading(self._engine) as connection:
            for start in range(0, len(job_ids), _PAGE_ROWS):
                page = job_ids[start : start + _PAGE_ROWS]
                found.update(connection.scalars(select(JOBS.c.job_id).where(JOBS.c.job_id.in_(page))))
        return found

    def ping(self) -> None:
        with reading(self._engine) as connection:
            connection.execute(select(JOBS.c.job_id).limit(1))

    def find_remote(self, provider: str, remote_id: str) -> Sequence[Step]:
        """A step that is over waits for nothing."""
        with reading(self._engine) as connection:
            return sql_steps.find_remote(connection, provider, remote_id)

    def note_remote(self, job_id: str, piece: Piece, provider: str, remote_id: str) -> bool:
        """A job that is gone is not an error."""
        with writing(self._engine) as connection:
            _touch(connection, job_id, self._clock())
            return sql_steps.note_remote(connection, job_id, piece, provider, remote_id)

    def _created_at(self, connection: Connection, job_id: str, tenant: str) -> ColumnElement[datetime]:
        query = select(JOBS.c.created_at).where(JOBS.c.job_id == job_id, JOBS.c.tenant == tenant)
        created_at = connection.scalar(query)
        if created_at is None:
            raise InvalidOption(
                "'after' must be the id of the last job on the page before; start again without it.",
                field="after",
            )
        return literal(created_at, JOBS.c.created_at.type)

    def _pages(self, condition: ColumnElement[bool], moment: Column[datetime]) -> Iterator[Job]:
        query = select(JOBS).where(condition).order_by(moment, JOBS.c.job_id).limit(_PAGE_ROWS)
        page = self._page(query)
        while page:
            yield from (parse_job(row) for row in page)
            last = tuple_(literal(page[-1][moment], moment.type), literal(page[-1][JOBS.c.job_id]))
            page = self._page(query.where(tuple_(moment, JOBS.c.job_id) > last))

    def _page(self, query: Select[Any]) -> Sequence[RowMapping]:
        with reading(self._engine) as connection:
            return connection.execute(query).mappings().all()


def _has_status(statuses: Iterable[JobStatus]) -> ColumnElement[bool]:
    return JOBS.c.status.in_([status.value for status in statuses])


def _touch(connection: Connection, job_id: str, now: datetime) -> bool:
    return connection.execute(update(JOBS).where(JOBS.c.job_id == job_id).values(updated_at=now)).rowcount == 1
