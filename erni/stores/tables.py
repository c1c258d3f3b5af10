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
    LargeBinary,
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
    Column("key_id", Text),
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
    Column("submitted_at", UTCDateTime),
    Column("remote_id", Text),
    Column("heard_at", UTCDateTime),
)
# A vendor's webhook names its own job.
Index("ix_job_steps_remote_id", JOB_STEPS.c.remote_id)

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
    Column("monthly_usd", Float),
)

# Without a foreign key to the jobs: what was paid stays on the books when the job is deleted.
LEDGER: Final = Table(
    "ledger",
    METADATA,
    Column("charge_id", Text, primary_key=True),
    Column("at", UTCDateTime, nullable=False),
    Column("tenant", Text, nullable=False),
    Column("key_id", Text),
    Column("job_id", String(32), nullable=False),
    Column("kind", String(16), nullable=False),
    Column("part", Integer, nullable=False),
    Column("engine", Text, nullable=False),
    Column("model", Text, nullable=False),
    Column("audio_s", Float, nullable=False),
    Column("estimated_usd", Float, nullable=False),
    Column("status", String(16), nullable=False),
    Column("reported_usd", Float),
    Column("usage", JSON),
    Column("settled_at", UTCDateTime),
)
Index("ix_ledger_tenant_at", LEDGER.c.tenant, LEDGER.c.at)
# What a key spent in a month, summed before each of its calls without a look at the rows; and what a job did.
Index(
    "ix_ledger_key_id_at", LEDGER.c.key_id, LEDGER.c.at, LEDGER.c.status, LEDGER.c.reported_usd, LEDGER.c.estimated_usd
)
Index("ix_ledger_job_id", LEDGER.c.job_id)

VOICEPRINTS: Final = Table(
    "voiceprints",
    METADATA,
    Column("voiceprint_id", String(32), primary_key=True),
    Column("tenant", Text, nullable=False),
    Column("name", Text, nullable=False),
    Column("consent", Text, nullable=False),
    Column("status", String(16), nullable=False),
    Column("reason", ForeignText),
    Column("created_at", UTCDateTime, nullable=False),
    Column("expires_at", UTCDateTime),
    Column("key_id", Text),
)
Index("ix_voiceprints_tenant_name", VOICEPRINTS.c.tenant, VOICEPRINTS.c.name)
Index("ix_voiceprints_expires_at", VOICEPRINTS.c.expires_at)

VOICEPRINT_FORMS: Final = Table(
    "voiceprint_forms",
    METADATA,
    Column("voiceprint_id", ForeignKey(VOICEPRINTS.c.voiceprint_id, ondelete="CASCADE"), primary_key=True),
    Column("engine", Text, primary_key=True),
    Column("content", LargeBinary),
    Column("remote_id", Text),
    Column("submissions", Integer, nullable=False, server_default=text("0")),
    Column("submitted_at", UTCDateTime),
    Column("given_up", ForeignText),
)

ENGINE_HOURS: Final = Table(
    "engine_hours",
    METADATA,
    Column("provider", Text, primary_key=True),
    Column("hour", UTCDateTime, primary_key=True),
    Column("probes", Integer, nullable=False),
    Column("failures", Integer, nullable=False),
    Column("latency_sum_s", Float, nullable=False),
    Column("latency_max_s", Float, nullable=False),
)
