"""The database of the records: opens it, migrates it, begins transactions, translates errors. Knows no table.

SQLite runs in WAL mode: readers never wait, writers queue up. Every transaction begins IMMEDIATE, because
one that reads first and writes later fails at once, whatever the busy timeout, when another process wrote
in between (https://www.sqlite.org/isolation.html). Reads run outside transactions.
"""

from __future__ import annotations

import errno
import os
import sqlite3
import time
import weakref
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Final

import structlog
from sqlalchemy import URL, Connection, Engine, Pool, Table, create_engine, event, make_url, text
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.exc import ArgumentError, DBAPIError, NoSuchModuleError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from erni.errors import ConfigError, StorageError, StorageFull
from erni.stores.writer_queue import WriterQueue

BUSY_TIMEOUT_S: Final = 30.0
_RETRY_WAL_S: Final = 0.01
_MIGRATION_LOCK: Final = 0x45524E49
"""Key of PostgreSQL's advisory lock: "ERNI" in ASCII."""
_SQLSTATE_DISK_FULL: Final = "53100"

_inherited_pools: list[Pool] = []
"""Pools a forked child must neither use nor close, because their connections belong to its parent."""

_writers: weakref.WeakKeyDictionary[Engine, WriterQueue] = weakref.WeakKeyDictionary()
"""Of SQLite engines only."""

_log = structlog.get_logger(__name__)


def open_database(url: str) -> Engine:
    """An engine for any number of threads and processes. SQLite's directory is made; nothing else is touched.

    Raises:
        ConfigError: the URL is malformed, names another kind of database, or its driver is not installed.
    """
    try:
        parsed = make_url(url)
    except ArgumentError:
        # The URL may hold a password, so the message does not repeat it.
        raise ConfigError("The records URL is malformed. Write sqlite:////path or postgresql://...") from None
    if parsed.get_backend_name() == "sqlite":
        return _open_sqlite(parsed)
    if parsed.get_backend_name() == "postgresql":
        return _open_postgresql(parsed)
    raise ConfigError(f"Records cannot be kept in {parsed.get_backend_name()}. Use sqlite or postgresql.")


def migrate(engine: Engine) -> None:
    """Bring the tables up to date. May be called by several processes at once: one works, the others wait.

    Raises:
        ConfigError: a newer release of Erni migrated this database.
        StorageError: the database cannot be reached or written.
    """
    # Imported here, because only the processes that migrate need its fifth of a second and seven megabytes.
    from alembic import command  # noqa: PLC0415
    from alembic.config import Config  # noqa: PLC0415
    from alembic.util import CommandError  # noqa: PLC0415

    config = Config()
    config.set_main_option("script_location", "erni.stores:migrations")
    with writing(engine) as connection:
        # SQLite needs no lock of its own: an IMMEDIATE transaction already keeps every other writer out.
        if connection.dialect.name == "postgresql":
            connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _MIGRATION_LOCK})
        config.attributes["connection"] = connection
        try:
            command.upgrade(config, "head")
        except CommandError as error:
            raise ConfigError(
                "The records were migrated by a newer release of Erni. Upgrade this one, or restore a backup."
            ) from error
    _log.info("records_up_to_date", database=engine.dialect.name)


@contextmanager
def reading(engine: Engine) -> Iterator[Connection]:
    """A connection for single SELECTs, each of which sees the newest data. Raises StorageError."""
    with _storage_errors(), engine.connect() as connection:
        yield connection.execution_options(isolation_level="AUTOCOMMIT")


@contextmanager
def writing(engine: Engine) -> Iterator[Connection]:
    """A transaction, committed at the end unless an error leaves it. Raises StorageError."""
    queue = _writers.get(engine)
    with _storage_errors(), queue.turn() if queue else nullcontext(), engine.begin() as connection:
        yield connection


def insert_into(connection: Connection, table: Table) -> sqlite.Insert | postgresql.Insert:
    """An INSERT that can say ON CONFLICT, which SQLAlchemy offers per database only."""
    return sqlite.insert(table) if connection.dialect.name == "sqlite" else postgresql.insert(table)


def _open_sqlite(url: URL) -> Engine:
    if not url.database or url.database == ":memory:":
        raise ConfigError("The records need a SQLite file, which all processes share. Write sqlite:////path.")
    directory = Path(url.database).absolute().parent
    try:
        directory.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigError(f"The directory of the records, {directory}, cannot be made: {error.strerror}.") from error
    engine = create_engine(url, connect_args={"timeout": BUSY_TIMEOUT_S}, hide_parameters=True)
    event.listen(engine, "connect", _prepare_sqlite_connection)
    event.listen(engine, "begin", _begin_sqlite_transaction)
    _writers[engine] = WriterQueue(Path(f"{url.database}-writers"))
    _forget_connections_in_children(engine)
    return engine


def _open_postgresql(url: URL) -> Engine:
    if url.drivername == "postgresql":
        url = url.set(drivername="postgresql+psycopg")
    try:
        engine = create_engine(url, pool_pre_ping=True, hide_parameters=True)
    except (ImportError, NoSuchModuleError):
        raise ConfigError(
            "The PostgreSQL driver is not installed. Install erni[postgres] and write postgresql+psycopg://..."
        ) from None
    _forget_connections_in_children(engine)
    return engine


def _prepare_sqlite_connection(connection: sqlite3.Connection, _record: object) -> None:
    connection.execute("PRAGMA foreign_keys=ON")
    # A commit outlives a power cut. NORMAL would spare the sync, but could undo a job already accepted.
    connection.execute("PRAGMA synchronous=FULL")
    deadline = time.monotonic() + BUSY_TIMEOUT_S
    while True:
        try:
            connection.execute("PRAGMA journal_mode=WAL")
        except sqlite3.OperationalError as error:
            # SQLite does not wait out its busy timeout when two processes turn WAL on at the same moment.
            if error.sqlite_errorcode != sqlite3.SQLITE_BUSY or time.monotonic() > deadline:
                raise
            time.sleep(_RETRY_WAL_S)
        else:
            return


def _begin_sqlite_transaction(connection: Connection) -> None:
    if connection.get_execution_options().get("isolation_level") != "AUTOCOMMIT":
        connection.exec_driver_sql("BEGIN IMMEDIATE")


def _forget_connections_in_children(engine: Engine) -> None:
    reference = weakref.ref(engine)

    def forget_connections() -> None:
        inherited = reference()
        if inherited is not None:
            # Kept, not dropped: SQLite forbids even closing a connection that crossed a fork.
            _inherited_pools.append(inherited.pool)
            inherited.dispose(close=False)
            if inherited in _writers:
                # A thread whose turn it was did not come along.
                _writers[inherited] = WriterQueue(_writers[inherited].path)

    os.register_at_fork(after_in_child=forget_connections)


@contextmanager
def _storage_errors() -> Iterator[None]:
    try:
        yield
    except (DBAPIError, PoolTimeout, OSError) as error:
        if _is_disk_full(error.orig if isinstance(error, DBAPIError) else error):
            raise StorageFull(
                "The database has no space left: free some on its disk or raise its quota, then try again."
            ) from error
        raise StorageError(
            "The records cannot be read or written: check that the database runs, is migrated and lets Erni "
            "in, then try again."
        ) from error


def _is_disk_full(error: BaseException | None) -> bool:
    if isinstance(error, sqlite3.OperationalError):
        return error.sqlite_errorcode == sqlite3.SQLITE_FULL
    if isinstance(error, OSError):
        # The lock file of the writers' queue could not be made.
        return error.errno in (errno.ENOSPC, errno.EDQUOT)
    return getattr(error, "sqlstate", None) == _SQLSTATE_DISK_FULL
