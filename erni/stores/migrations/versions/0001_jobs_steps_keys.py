"""Jobs, their steps, and API keys. Types are spelled out: a migration must not change when the code does.

There is no way down: what a release has written is undone by restoring the backup taken before it.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None


def upgrade() -> None:
    _create_jobs()
    _create_job_steps()
    _create_api_keys()


def _create_jobs() -> None:
    moment = sa.DateTime(timezone=True)
    op.create_table(
        "jobs",
        sa.Column("job_id", sa.String(32), primary_key=True),
        sa.Column("tenant", sa.Text, nullable=False),
        sa.Column("status", sa.String(16), nullable=False),
        sa.Column("options", sa.JSON, nullable=False),
        sa.Column("created_at", moment, nullable=False),
        sa.Column("source_digest", sa.Text, nullable=False),
        sa.Column("source_bytes", sa.BigInteger, nullable=False),
        sa.Column("filename", sa.Text),
        sa.Column("idempotency_key", sa.Text),
        sa.Column("started_at", moment),
        sa.Column("processing_at", moment),
        sa.Column("finished_at", moment),
        sa.Column("updated_at", moment, nullable=False),
        sa.Column("duration_s", sa.Float),
        sa.Column("speech_s", sa.Float),
        sa.Column("chunks_total", sa.Integer),
        sa.Column("warnings", sa.JSON, nullable=False),
        sa.Column("failure_code", sa.Text),
        sa.Column("failure_message", sa.Text),
    )
    op.create_index(
        "uq_jobs_tenant_idempotency_key",
        "jobs",
        ["tenant", "idempotency_key"],
        unique=True,
        sqlite_where=sa.text("idempotency_key IS NOT NULL"),
        postgresql_where=sa.text("idempotency_key IS NOT NULL"),
    )
    op.create_index("ix_jobs_tenant_created_at_job_id", "jobs", ["tenant", "created_at", "job_id"])
    op.create_index("ix_jobs_status_created_at_job_id", "jobs", ["status", "created_at", "job_id"])
    op.create_index("ix_jobs_status_finished_at", "jobs", ["status", "finished_at"])


def _create_job_steps() -> None:
    moment = sa.DateTime(timezone=True)
    op.create_table(
        "job_steps",
        sa.Column("job_id", sa.String(32), sa.ForeignKey("jobs.job_id", ondelete="CASCADE"), primary_key=True),
        sa.Column("kind", sa.String(16), primary_key=True),
        sa.Column("part", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("status", sa.String(16), nullable=False),
        sa.Column("deliveries", sa.Integer, nullable=False),
        sa.Column("started_at", moment, nullable=False),
        sa.Column("finished_at", moment),
        sa.Column("elapsed_s", sa.Float),
        sa.Column("engine_s", sa.Float),
        sa.Column("engine", sa.Text),
        sa.Column("reason", sa.Text),
    )


def _create_api_keys() -> None:
    moment = sa.DateTime(timezone=True)
    op.create_table(
        "api_keys",
        sa.Column("key_id", sa.Text, primary_key=True),
        sa.Column("tenant", sa.Text, nullable=False),
        sa.Column("role", sa.String(16), nullable=False),
        sa.Column("token_hash", sa.String(64), nullable=False, unique=True),
        sa.Column("created_at", moment, nullable=False),
        sa.Column("label", sa.Text, nullable=False),
        sa.Column("revoked_at", moment),
    )
