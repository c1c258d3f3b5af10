"""The database under the stores: opening, migrating, transactions, errors."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from sqlalchemy import Engine, event, text

from erni.errors import ConfigError, StorageError, StorageFull
from erni.jobs import Job, JobOptions, JobStatus, Piece, Step, StepKind
from erni.stores.database import migrate, open_database, reading, writing
from erni.stores.sql_jobs import SqlJobStore
from erni.stores.tables import METADATA

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)

JOB_OF_0001 = """
INSERT INTO jobs (job_id, tenant, status, options, created_at, source_digest, source_bytes, updated_at, warnings)
VALUES ('j', 'acme', 'processing', '{"engine": "whisper", "language": "de"}', :noon, 'sha256:00', 1, :noon, '[]')
"""
STEP_OF_0001 = """
INSERT INTO job_steps (job_id, kind, part, status, deliveries, started_at, engine)
VALUES ('j', 'transcribe', :part, 'running', 2, :noon, 'whisper')
"""

MIGRATE = """
import sys
from erni.stores.database import migrate, open_database
engine = open_database(sys.argv[1])
print("ready", flush=True)
input()
migrate(engine)
"""

CREATE_FILES = """
import sys, time
from erni.stores.database import open_database, reading
engines = [open_database(f"{sys.argv[1]}/{number}.db") for number in range(20)]
print("ready", flush=True)
input()
first = time.time() // 1 + 2
for number, engine in enumerate(engines):
    time.sleep(max(0, first + number / 20 - time.time()))
    with reading(engine) as connection:
        assert connection.exec_driver_sql("PRAGMA journal_mode").scalar() == "wal"
"""

# Root may write where the mode forbids it, unless it gives up that capability (capset(2)); others have none to lose.
WRITE_WHERE_ONLY_READING_IS_ALLOWED = """
import ctypes, sys
from sqlalchemy import text
from erni.errors import StorageError
from erni.stores.database import open_database, writing
if sys.platform == "linux":
    header, none = (ctypes.c_uint32 * 2)(0x20080522, 0), (ctypes.c_uint32 * 6)()
    assert ctypes.CDLL(None).capset(header, none) == 0
print("ready", flush=True)
input()
try:
    with writing(open_database(sys.argv[1])) as connection:
        connection.execute(text("DELETE FROM jobs"))
except StorageError as error:
    print(error.code)
"""

USE_AFTER_FORK = """
import os, sys
from sqlalchemy import text
from erni.stores.database import open_database, reading, writing
engine = open_database(sys.argv[1])
with writing(engine) as connection:
    connection.execute(text("CREATE TABLE counters (value INTEGER)"))
print("ready", flush=True)
input()
child = os.fork()
for value in range(200):
    with writing(engine) as connection:
        connection.execute(text("INSERT INTO counters VALUES (:value)"), {"value": value})
if child == 0:
    os._exit(0)
_, status = os.waitpid(child, 0)
with reading(engine) as connection:
    print(os.waitstatus_to_exitcode(status), connection.scalar(text("SELECT count(*) FROM counters")))
"""


@pytest.fixture
def engine(records_url: str) -> Iterator[Engine]:
    engine = open_database(records_url)
    yield engine
    engine.dispose()


@pytest.fixture
def sqlite_engine(tmp_path: Path) -> Iterator[Engine]:
    engine = open_database(f"sqlite:///{tmp_path}/records.db")
    yield engine
    engine.dispose()


def test_migrations_build_exactly_the_tables_of_the_code(engine: Engine) -> None:
    migrate(engine)
    with engine.connect() as connection:
        assert compare_metadata(MigrationContext.configure(connection), METADATA) == []


def test_migrating_again_changes_nothing(engine: Engine) -> None:
    migrate(engine)
    with writing(engine) as connection:
        connection.execute(
            text("INSERT INTO api_keys VALUES ('k', 't', 'user', 'hash', '2026-01-01 00:00:00', '', NULL, NULL)")
        )
    migrate(engine)
    with reading(engine) as connection:
        assert connection.scalar(text("SELECT count(*) FROM api_keys")) == 1


def migrate_to(engine: Engine, revision: str) -> None:
    """As the release did whose newest migration this was."""
    config = Config()
    config.set_main_option("script_location", "erni.stores:migrations")
    with writing(engine) as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, revision)


def test_records_of_the_first_release_are_kept(engine: Engine) -> None:
    noon = NOON.replace(tzinfo=None) if engine.dialect.name == "sqlite" else NOON
    migrate_to(engine, "0001")
    with writing(engine) as connection:
        connection.execute(text(JOB_OF_0001), {"noon": f"{noon}"})
        connection.execute(text(STEP_OF_0001), {"noon": f"{noon}", "part": 0})
    migrate(engine)
    # While workers are upgraded one by one, those of the first release still write.
    with writing(engine) as connection:
        connection.execute(text(STEP_OF_0001), {"noon": f"{noon}", "part": 1})
    jobs = SqlJobStore(engine)
    options = JobOptions(language="de")
    assert jobs.get("j") == Job("j", "acme", JobStatus.PROCESSING, options, NOON, "sha256:00", 1, updated_at=NOON)
    steps = [Step("j", StepKind.TRANSCRIBE, part, "running", 2, NOON, engine="whisper") for part in range(2)]
    assert jobs.steps("j") == steps
    assert jobs.begin_step("j", Piece(StepKind.TRANSCRIBE)).deliveries == 3


def test_processes_that_migrate_at_the_same_moment_all_succeed(
    records_url: str, engine: Engine, run_together: Callable[..., list[str]]
) -> None:
    run_together(MIGRATE, records_url, processes=4)
    with reading(engine) as connection:
        assert connection.scalar(text("SELECT count(*) FROM jobs")) == 0


def test_processes_that_create_a_file_at_the_same_moment_all_succeed(
    tmp_path: Path, run_together: Callable[..., list[str]]
) -> None:
    run_together(CREATE_FILES, f"sqlite:///{tmp_path}", processes=8)


def test_database_of_a_newer_release_is_refused(engine: Engine) -> None:
    migrate(engine)
    with writing(engine) as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    with pytest.raises(ConfigError, match="newer release"):
        migrate(engine)


def test_engine_serves_a_forked_child_and_its_parent_at_once(
    records_url: str, run_together: Callable[..., list[str]]
) -> None:
    assert run_together(USE_AFTER_FORK, records_url, processes=1) == ["0 400\n"]


def test_transactions_that_read_before_they_write_lose_no_update(sqlite_engine: Engine) -> None:
    with writing(sqlite_engine) as connection:
        connection.execute(text("CREATE TABLE counters (value INTEGER)"))
        connection.execute(text("INSERT INTO counters VALUES (0)"))

    def count_up(_: int) -> None:
        with writing(sqlite_engine) as connection:
            value = connection.scalar(text("SELECT value FROM counters"))
            connection.execute(text("UPDATE counters SET value = :value"), {"value": value + 1})

    with ThreadPoolExecutor(8) as threads:
        list(threads.map(count_up, range(200)))
    with reading(sqlite_engine) as connection:
        assert connection.scalar(text("SELECT value FROM counters")) == 200


def test_transaction_left_by_an_error_is_undone(engine: Engine) -> None:
    migrate(engine)
    with pytest.raises(StorageError), writing(engine) as connection:  # noqa: PT012 - the first write must work
        connection.execute(text("DELETE FROM alembic_version"))
        connection.execute(text("DELETE FROM no_such_table"))
    with reading(engine) as connection:
        assert connection.scalar(text("SELECT count(*) FROM alembic_version")) == 1


def test_sqlite_syncs_each_commit_and_checks_foreign_keys(sqlite_engine: Engine) -> None:
    with writing(sqlite_engine) as connection:
        settings = [connection.scalar(text(f"PRAGMA {name}")) for name in ("synchronous", "foreign_keys")]
    assert settings == [2, 1]


def test_directory_of_a_sqlite_file_is_made(tmp_path: Path) -> None:
    engine = open_database(f"sqlite:///{tmp_path}/deep/er/records.db")
    migrate(engine)
    engine.dispose()
    assert (tmp_path / "deep/er/records.db").is_file()


def test_directory_that_cannot_be_made_is_a_config_error(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(ConfigError, match="cannot be made"):
        open_database(f"sqlite:///{tmp_path}/file/records.db")


@pytest.mark.parametrize("url", ["sqlite://", "sqlite:///:memory:", "mysql://localhost/erni", "records", ""])
def test_url_that_cannot_hold_records_is_a_config_error(url: str) -> None:
    with pytest.raises(ConfigError):
        open_database(url)


def test_full_database_is_told_from_other_failures(sqlite_engine: Engine) -> None:
    @event.listens_for(sqlite_engine, "connect")
    def allow_few_pages(connection: object, _record: object) -> None:
        connection.execute("PRAGMA max_page_count=20")

    with writing(sqlite_engine) as connection:
        connection.execute(text("CREATE TABLE blocks (content BLOB)"))
    with pytest.raises(StorageFull, match="free some"), writing(sqlite_engine) as connection:
        connection.execute(text("INSERT INTO blocks VALUES (zeroblob(1000000))"))


def test_database_on_a_disk_that_cannot_be_written_is_a_storage_error(
    tmp_path: Path, run_together: Callable[..., list[str]]
) -> None:
    engine = open_database(f"sqlite:///{tmp_path}/records.db")
    migrate(engine)
    engine.dispose()
    for path in (*tmp_path.iterdir(), tmp_path):
        path.chmod(0o555)
    printed = run_together(WRITE_WHERE_ONLY_READING_IS_ALLOWED, f"sqlite:///{tmp_path}/records.db", processes=1)
    tmp_path.chmod(0o755)
    assert printed == ["storage_error\n"]


def test_failure_tells_what_to_do_and_no_value(engine: Engine) -> None:
    with pytest.raises(StorageError, match="migrated") as failure, reading(engine) as connection:
        connection.execute(text("SELECT * FROM jobs WHERE filename = :name"), {"name": "divorce.mp3"})
    assert not isinstance(failure.value, StorageFull)
    assert "divorce" not in f"{failure.value} {failure.value.__cause__}"


def test_database_that_does_not_answer_is_a_storage_error() -> None:
    engine = open_database("postgresql://erni:secret@127.0.0.1:1/erni")
    with pytest.raises(StorageError) as failure, reading(engine):
        """Never reached: there is no connection."""
    assert "secret" not in f"{failure.value} {failure.value.__cause__}"
