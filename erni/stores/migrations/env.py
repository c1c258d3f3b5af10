"""What Alembic runs for a migration. The caller brings the connection and owns its transaction."""

from __future__ import annotations

from alembic import context

from erni.stores.tables import METADATA

# SQLite cannot alter most of a table in place; in batch mode Alembic copies the table instead.
context.configure(connection=context.config.attributes["connection"], target_metadata=METADATA, render_as_batch=True)
context.run_migrations()
