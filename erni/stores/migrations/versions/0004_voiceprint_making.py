"""Who pays for a voiceprint, and how often and when its making was submitted to a vendor."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    op.add_column("voiceprints", sa.Column("key_id", sa.Text))
    # With a default in the database, because workers not upgraded yet write rows too.
    submissions = sa.Column("submissions", sa.Integer, nullable=False, server_default=sa.text("0"))
    op.add_column("voiceprint_forms", submissions)
    op.add_column("voiceprint_forms", sa.Column("submitted_at", sa.DateTime(timezone=True)))
    op.add_column("voiceprint_forms", sa.Column("given_up", sa.Text))
