"""How a step is tried again and what the cache spared; restarted jobs; a tenant's queue.

The new columns have defaults in the database: while workers are upgraded one by one, the old ones write rows too.
Columns are added in place, because a table that Alembic copies on SQLite takes along, by cascade, what refers to it.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    moment = sa.DateTime(timezone=True)
    op.add_column("jobs", sa.Column("restarted_at", moment))
    op.create_index("ix_jobs_tenant_status_created_at_job_id", "jobs", ["tenant", "status", "created_at", "job_id"])
    op.add_column("job_steps", sa.Column("attempts", sa.Integer, nullable=False, server_default=sa.text("0")))
    op.add_column("job_steps", sa.Column("waits", sa.Integer, nullable=False, server_default=sa.text("0")))
    op.add_column("job_steps", sa.Column("retry_at", moment))
    op.add_column("job_steps", sa.Column("failures", sa.JSON, nullable=False, server_default=sa.text("'[]'")))
    op.add_column("job_steps", sa.Column("savings_engine_s", sa.Float))
    op.add_column("job_steps", sa.Column("savings_usd", sa.Float))
