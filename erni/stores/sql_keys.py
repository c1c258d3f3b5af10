"""API keys in SQL. Sees hashes, never a token."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Final

from sqlalchemy import Engine, bindparam, select, update

from erni.keys import ApiKey
from erni.stores.database import insert_into, reading, writing
from erni.stores.rows import key_row, parse_key
from erni.stores.tables import API_KEYS

_VALID_KEY: Final = select(API_KEYS).where(
    API_KEYS.c.token_hash == bindparam("token_hash"), API_KEYS.c.revoked_at.is_(None)
)
"""Built once, because every request asks it: building it takes as long as running it."""


class SqlKeyStore:
    """``ports.KeyStore`` over a migrated database."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def add_key(self, key: ApiKey) -> bool:
        with writing(self._engine) as connection:
            insert = insert_into(connection, API_KEYS).values(key_row(key)).on_conflict_do_nothing()
            return connection.execute(insert.returning(API_KEYS.c.key_id)).first() is not None

    def find_key(self, token_hash: str) -> ApiKey | None:
        with reading(self._engine) as connection:
            row = connection.execute(_VALID_KEY, {"token_hash": token_hash}).mappings().first()
        return parse_key(row) if row else None

    def get_key(self, key_id: str) -> ApiKey | None:
        with reading(self._engine) as connection:
            row = connection.execute(select(API_KEYS).where(API_KEYS.c.key_id == key_id)).mappings().first()
        return parse_key(row) if row else None

    def list_keys(self) -> Sequence[ApiKey]:
        """All keys, revoked ones too, oldest first."""
        query = select(API_KEYS).order_by(API_KEYS.c.created_at, API_KEYS.c.key_id)
        with reading(self._engine) as connection:
            return [parse_key(row) for row in connection.execute(query).mappings()]

    def revoke_key(self, key_id: str, at: datetime) -> bool:
        unrevoked = (API_KEYS.c.key_id == key_id) & API_KEYS.c.revoked_at.is_(None)
        with writing(self._engine) as connection:
            return connection.execute(update(API_KEYS).where(unrevoked).values(revoked_at=at)).rowcount == 1

    def set_monthly_cap(self, key_id: str, usd: float | None) -> bool:
        with writing(self._engine) as connection:
            change = update(API_KEYS).where(API_KEYS.c.key_id == key_id).values(monthly_usd=usd)
            return connection.execute(change).rowcount == 1
