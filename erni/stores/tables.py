"""The tables of the records, as SQLAlchemy Core sees them. Knows columns and indexes, no values, no queries.

A change here needs a migration in ``migrations/versions``; a test compares both.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Final

from sqlalchemy import (
    JSON,
    BigInteger,
    Column,
    DateTime,
    Dialect,
    Float,
    ForeignKey,
    Index,
    Integer,
    MetaData,
    String,
    Table,
    Text,
    TypeDecorator,
    text,
)


class UTCDateTime(TypeDecorator[datetime]):
    """A moment: any aware datetime goes in, the same in UTC comes out, whichever the database."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        if value is None:
            return None
        if value.tzinfo is None:
            raise ValueError("A datetime without a time zone is no moment; make it aware.")
        moment = value.astimezone(UTC)
        return moment.replace(tzinfo=None) if dialect.name == "sqlite" else moment

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        if value is None:
            return None
        return value.replace(tzinfo=UTC) if dialect.name == "sqlite" else value.astimezone(UTC)


class ForeignText(TypeDecorator[str]):
    """Text that others wrote, such as a library's error: what no database holds (NUL, half a surrogate pair) becomes
    a replacement character instead of an error.
    """

    impl = Text
    cache_ok = True

    def process_bind_param(self, value: str | None, dialect: Dialect) -> str | None:  # noqa: ARG002  # SQLAlchemy's
        if value is None:
            return None
        return value.replace("\0", "\N{REPLACEMENT CHARACTER}").encode(errors="replace").decode()


METADATA: Final = MetaData()

JOBS: Final = Table(
    "jobs",
    METADATA,
    Column("job_id", String(32), primary_key=True),
    Column("tenant", Text, nullable=False),
    Column("status", String(16), nullable=False),
    Column("options", JSON, nullable=False),
    Column("created_at", UTCDateTime, nullable=False),
    Column("source_digest", Text, nullable=False),
    Column("source_bytes", BigInteger, nullable=False),
    Column("filename", ForeignText),
    Column("idempotency_key", Text),
    Column("restarted_at", UTCDateTime),
    Column("started_at", UTCDateTime),
    Column("processing_at", UTCDateTime),
    Column("finished_at", UTCDateTime),
    Column("updated_at", UTCDateTime, nullable=False),
    Column("duration_s", Float),
    Column("speech_s", Float),
    Column("chunks_total", Integer),
    Column("warnings", JSON, nullable=False),
    Column("failure_code", Text),
    Column("failure_message", ForeignText),
)
Index(
    "uq_jobs_tenant_idempotency_key",
    JOBS.c.tenant,
    JOBS.c.idempotency_key,
    unique=True,
    sqlite_where=JOBS.c.idempotency_key.is_not(None),
    postgresql_where=JOBS.c.idempotency_key.is_not(None),
)
# Listings read this index backwards: newest first, the job id breaking ties.
Index("ix_jobs_tenant_created_at_job_id", JOBS.c.tenant, JOBS.c.created_at, JOBS.c.job_id)
# The sweeper's few unfinished jobs among many finished ones, and the counts by status.
Index("ix_jobs_status_created_at_job_id", JOBS.c.status, JOBS.c.created_at, JOBS.c.job_id)
# How many jobs a tenant has at work, and which of its queued ones is next.
Index("ix_jobs_tenant_status_created_at_job_id", JOBS.c.tenant, JOBS.c.status, JOBS.c.created_at, JOBS.c.job_id)
# What retention deletes.
Index("ix_jobs_status_finished_at", JOBS.c.status, JOBS.c.finished_at)

JOB_STEPS: Final = Table(
    "job_steps",
    METADATA,
    Column("job_id", ForeignKey(JOBS.c.job_id, ondelete="CASCADE"), primary_key=True),
    Column("kind", String(16), primary_key=True),
    Column("part", Integer, primary_key=True, autoincrement=False),
    Column("status", String(16), nullable=False),
    Column("deliveries", Integer, nullable=False),
    Column("started_at", UTCDateTime, nullable=False),
    Column("finished_at", UTCDateTime),
    Column("elapsed_s", Float),
    Column("engine_s", Float),
    Column("engine", Text),
    Column("reason", ForeignText),
    Column("attempts", Integer, nullable=False, server_default=text("0")),
    Column("waits", Integer, nullable=False, server_default=text("0")),
    Column("retry_at", UTCDateTime),
    Column("failures", JSON, nullable=False, server_default=text("'[]'")),
    Column("savings_engine_s", Float),
    Column("savings_usd", Float),
)

API_KEYS: Final = Table(
    "api_keys",
    METADATA,
    Column("key_id", Text, primary_key=True),
    Column("tenant", Text, nullable=False),
    Column("role", String(16), nullable=False),
    Column("token_hash", String(64), nullable=False, unique=True),
    Column("created_at", UTCDateTime, nullable=False),
    Column("label", Text, nullable=False),
    Column("revoked_at", UTCDateTime),
)
