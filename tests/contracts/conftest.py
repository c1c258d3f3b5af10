"""A migrated database of each kind for the contracts of the stores."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from sqlalchemy import Engine

from erni.stores.database import migrate, open_database


@pytest.fixture
def engine(records_url: str) -> Iterator[Engine]:
    engine = open_database(records_url)
    migrate(engine)
    yield engine
    engine.dispose()
