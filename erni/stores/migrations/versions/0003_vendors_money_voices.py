"""Jobs that wait for a vendor, what calls cost, known voices, and how well the vendors answer."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"

MOMENT = sa.DateTime(timezone=True)


def upgrade() -> None:
    op.add_column("jobs", sa.Column("key_id", sa.Text))
    op.add_column("job_steps", sa.Column("submitted_at", MOMENT))
    op.add_column("job_steps", sa.Column("remote_id", sa.Text))
    op.create_index("ix_job_steps_remote_id", "job_steps", ["remote_id"])
    op.add_column("api_keys", sa.Column("monthly_usd", sa.Float))
    _create_ledger()
    _create_voiceprints()
    op.create_table(
        "engine_hours",
        sa.Column("provider", sa.Text, primary_key=True),
        sa.Column("hour", MOMENT, primary_key=True),
        sa.Column("probes", sa.Integer, nullable=False),
        sa.Column("failures", sa.Integer, nullable=False),
        sa.Column("latency_sum_s", sa.Float, nullable=False),
        sa.Column("latency_max_s", sa.Float, nullable=False),
    )


def _create_ledger() -> None:
    op.create_table(
        "ledger",
        sa.Column("charge_id", sa.Text, primary_key=True),
        sa.Column("at", MOMENT, nullable=False),
        sa.Column("tenant", sa.Text, nullable=False),
        sa.Column("key_id", sa.Text),
        sa.Column("job_id", sa.String(32), nullable=False),
        sa.Column("kind", sa.String(16), nullable=False),
        sa.Column("part", sa.Integer, nullable=False),
        sa.Column("engine", sa.Text, nullable=False),
        sa.Column("model", sa.Text, nullable=False),
        sa.Column("audio_s", sa.Float, nullable=False),
        sa.Column("estimated_usd", sa.Float, nullable=False),
        sa.Column("status", sa.String(16), nullable=False),
        sa.Column("reported_usd", sa.Float),
        sa.Column("usage", sa.JSON),
        sa.Column("settled_at", MOMENT),
    )
    op.create_index("ix_ledger_tenant_at", "ledger", ["tenant", "at"])
    op.create_index("ix_ledger_key_id_at", "ledger", ["key_id", "at", "status", "reported_usd", "estimated_usd"])
    op.create_index("ix_ledger_job_id", "ledger", ["job_id"])


def _create_voiceprints() -> None:
    op.create_table(
        "voiceprints",
        sa.Column("voiceprint_id", sa.String(32), primary_key=True),
        sa.Column("tenant", sa.Text, nullable=False),
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("consent", sa.Text, nullable=False),
        sa.Column("status", sa.String(16), nullable=False),
        sa.Column("reason", sa.Text),
        sa.Column("created_at", MOMENT, nullable=False),
        sa.Column("expires_at", MOMENT),
    )
    op.create_index("ix_voiceprints_tenant_name", "voiceprints", ["tenant", "name"])
    op.create_index("ix_voiceprints_expires_at", "voiceprints", ["expires_at"])
    op.create_table(
        "voiceprint_forms",
        sa.Column(
            "voiceprint_id",
            sa.String(32),
            sa.ForeignKey("voiceprints.voiceprint_id", ondelete="CASCADE"),
            primary_key=True,
        ),
        sa.Column("engine", sa.Text, primary_key=True),
        sa.Column("content", sa.LargeBinary),
        sa.Column("remote_id", sa.Text),
    )
