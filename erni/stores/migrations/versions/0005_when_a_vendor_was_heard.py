"""When a vendor last told how its job stands."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"


def upgrade() -> None:
    op.add_column("job_steps", sa.Column("heard_at", sa.DateTime(timezone=True)))
