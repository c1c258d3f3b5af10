"""Known voices in SQL. What engines know them by is encrypted before it is written, and never logged."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, fields
from datetime import datetime
from typing import Any, Final

from sqlalchemy import ColumnElement, Connection, Engine, RowMapping, delete, select, update

from erni.errors import VoiceprintNotFound
from erni.stores.database import insert_into, reading, writing
from erni.stores.tables import VOICEPRINT_FORMS as FORMS
from erni.stores.tables import VOICEPRINTS
from erni.voice_ports import Cipher
from erni.voiceprints import Making, Voiceprint, VoiceprintStatus

_FORM: Final = (FORMS.c.voiceprint_id, FORMS.c.engine)
_LISTED_AT_ONCE: Final = 500
"""Values in one statement: SQLite takes 32,766, and longer lists gain nothing."""


class SqlVoiceprintStore:
    """``voice_ports.VoiceprintStore`` over a migrated database."""

    def __init__(self, engine: Engine, cipher: Cipher, clock: Callable[[], datetime]) -> None:
        self._engine = engine
        self._cipher = cipher
        self._clock = clock

    def add(self, voiceprint: Voiceprint) -> None:
        row = {column.name: getattr(voiceprint, column.name) for column in VOICEPRINTS.columns}
        with writing(self._engine) as connection:
            connection.execute(insert_into(connection, VOICEPRINTS).values(row))

    def get(self, voiceprint_id: str, *, tenant: str | None = None) -> Voiceprint:
        with reading(self._engine) as connection:
            return self._find(connection, voiceprint_id, tenant)

    def list_voiceprints(self, tenant: str) -> Sequence[Voiceprint]:
        query = select(VOICEPRINTS).where(VOICEPRINTS.c.tenant == tenant, self._is_alive())
        return self._load_all(query.order_by(VOICEPRINTS.c.name, VOICEPRINTS.c.voiceprint_id))

    def list_pending(self) -> Sequence[Voiceprint]:
        query = select(VOICEPRINTS).where(VOICEPRINTS.c.status == "pending", self._is_alive())
        return self._load_all(query.order_by(VOICEPRINTS.c.created_at, VOICEPRINTS.c.voiceprint_id))

    def existing(self, voiceprint_ids: Sequence[str]) -> set[str]:
        found: set[str] = set()
        with reading(self._engine) as connection:
            for some in _in_parts(voiceprint_ids):
                query = select(VOICEPRINTS.c.voiceprint_id).where(VOICEPRINTS.c.voiceprint_id.in_(some))
                found.update(connection.execute(query).scalars())
        return found

    def rename(self, voiceprint_id: str, name: str, *, tenant: str) -> Voiceprint:
        with writing(self._engine) as connection:
            connection.execute(update(VOICEPRINTS).where(self._is_own(voiceprint_id, tenant)).values(name=name))
            return self._find(connection, voiceprint_id, tenant)

    def set_status(self, voiceprint_id: str, status: VoiceprintStatus, reason: str | None = None) -> None:
        one = VOICEPRINTS.c.voiceprint_id == voiceprint_id
        with writing(self._engine) as connection:
            connection.execute(update(VOICEPRINTS).where(one).values(status=status, reason=reason))

    def put_print(self, voiceprint_id: str, engine: str, content: bytes) -> None:
        self._put_form(voiceprint_id, engine, {"content": self._cipher.encrypt(content)})

    def prints(self, voiceprint_ids: Sequence[str], engine: str, *, tenant: str) -> dict[str, bytes]:
        found: dict[str, bytes] = {}
        query = select(FORMS.c.voiceprint_id, FORMS.c.content).join(VOICEPRINTS)
        query = query.where(FORMS.c.engine == engine, FORMS.c.content.is_not(None))
        query = query.where(VOICEPRINTS.c.tenant == tenant, VOICEPRINTS.c.status == "ready", self._is_alive())
        with reading(self._engine) as connection:
            for some in _in_parts(voiceprint_ids):
                for voiceprint_id, content in connection.execute(query.where(VOICEPRINTS.c.voiceprint_id.in_(some))):
                    found[voiceprint_id] = self._cipher.decrypt(content)
        return found

    def put_making(self, voiceprint_id: str, engine: str, making: Making) -> None:
        self._put_form(voiceprint_id, engine, asdict(making))

    def find_making(self, voiceprint_id: str, engine: str) -> Making:
        columns = [FORMS.c[field.name] for field in fields(Making)]
        query = select(*columns).where(FORMS.c.voiceprint_id == voiceprint_id, FORMS.c.engine == engine)
        with reading(self._engine) as connection:
            row = connection.execute(query).mappings().first()
        return Making(**row) if row is not None else Making()

    def delete(self, voiceprint_id: str, *, tenant: str) -> None:
        with writing(self._engine) as connection:
            # What the engines know it by goes with it (ON DELETE CASCADE).
            if connection.execute(delete(VOICEPRINTS).where(self._is_own(voiceprint_id, tenant))).rowcount == 0:
                raise _not_found()

    def delete_expired(self, now: datetime) -> int:
        with writing(self._engine) as connection:
            return connection.execute(delete(VOICEPRINTS).where(VOICEPRINTS.c.expires_at <= now)).rowcount

    def _find(self, connection: Connection, voiceprint_id: str, tenant: str | None) -> Voiceprint:
        query = select(VOICEPRINTS).where(self._is_own(voiceprint_id, tenant))
        row = connection.execute(query).mappings().first()
        if row is None:
            raise _not_found()
        return _parse(row, _engines(connection, [voiceprint_id]))

    def _load_all(self, query: Any) -> Sequence[Voiceprint]:
        with reading(self._engine) as connection:
            rows = connection.execute(query).mappings().all()
            engines: dict[str, list[str]] = {}
            for some in _in_parts([row["voiceprint_id"] for row in rows]):
                engines |= _engines(connection, some)
        return [_parse(row, engines) for row in rows]

    def _put_form(self, voiceprint_id: str, engine: str, columns: dict[str, object]) -> None:
        one = select(VOICEPRINTS.c.voiceprint_id).where(VOICEPRINTS.c.voiceprint_id == voiceprint_id)
        with writing(self._engine) as connection:
            # Locked, so that a voiceprint deleted at this moment takes this along.
            if connection.execute(one.with_for_update()).first() is None:
                return
            insert = insert_into(connection, FORMS).values(voiceprint_id=voiceprint_id, engine=engine, **columns)
            connection.execute(insert.on_conflict_do_update(index_elements=_FORM, set_=columns))

    def _is_own(self, voiceprint_id: str, tenant: str | None) -> ColumnElement[bool]:
        one = (VOICEPRINTS.c.voiceprint_id == voiceprint_id) & self._is_alive()
        return one if tenant is None else one & (VOICEPRINTS.c.tenant == tenant)

    def _is_alive(self) -> ColumnElement[bool]:
        return VOICEPRINTS.c.expires_at.is_(None) | (VOICEPRINTS.c.expires_at > self._clock())


def _engines(connection: Connection, voiceprint_ids: Sequence[str]) -> dict[str, list[str]]:
    """By voiceprint, the engines that know it."""
    known = FORMS.c.voiceprint_id.in_(voiceprint_ids) & FORMS.c.content.is_not(None)
    query = select(FORMS.c.voiceprint_id, FORMS.c.engine).where(known).order_by(FORMS.c.engine)
    engines: dict[str, list[str]] = {}
    for voiceprint_id, engine in connection.execute(query):
        engines.setdefault(voiceprint_id, []).append(engine)
    return engines


def _in_parts(ids: Sequence[str]) -> list[Sequence[str]]:
    return [ids[first : first + _LISTED_AT_ONCE] for first in range(0, len(ids), _LISTED_AT_ONCE)]


def _parse(row: RowMapping, engines: dict[str, list[str]]) -> Voiceprint:
    columns: dict[str, Any] = dict(row)
    return Voiceprint(**columns, engines=tuple(engines.get(columns["voiceprint_id"], ())))


def _not_found() -> VoiceprintNotFound:
    return VoiceprintNotFound("There is no voiceprint with this id.")
