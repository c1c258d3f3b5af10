"""Real servers for the tests: Redis, PostgreSQL and S3 on loopback, and processes that run at the same moment.

With ``CI=true`` a skipped test is a failure: there, everything a test asks for is installed.
"""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from uuid import uuid4

import httpx
import pytest
import redis
from hypothesis import settings

from cli.redis_server import find_redis_server

START_TIMEOUT_S = 30.0


IS_CI = os.environ.get("CI") == "true"

# The same examples every time in CI, new ones on every run elsewhere; no deadline, because hosts differ in speed.
settings.register_profile("erni", deadline=None, derandomize=IS_CI)
settings.load_profile("erni")


def pytest_configure() -> None:
    # A shell ignores Ctrl-C for what it starts in the background, and children would inherit that.
    signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_sessionfinish(session: pytest.Session, exitstatus: int) -> None:
    reporter = session.config.pluginmanager.get_plugin("terminalreporter")
    skipped = reporter.stats.get("skipped", []) if reporter is not None else []
    if IS_CI and skipped and exitstatus == pytest.ExitCode.OK:
        reporter.write_line(f"{len(skipped)} skipped, and CI=true: nothing may skip here", red=True)
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


@pytest.fixture(scope="session")
def redis_server() -> Iterator[str]:
    """URL of a Redis server of our own, without a database's number."""
    port = free_port()
    arguments = ["--port", str(port), "--bind", "127.0.0.1", "--save", "", "--daemonize", "no"]
    server = subprocess.Popen([find_redis_server(), *arguments], stdout=subprocess.DEVNULL)
    try:
        wait_for(lambda: accepts_connections(port))
        yield f"redis://127.0.0.1:{port}"
    finally:
        server.terminate()
        server.wait(START_TIMEOUT_S)


@pytest.fixture
def redis_client(redis_server: str) -> Iterator[redis.Redis]:
    """A client of an empty Redis database."""
    with redis.Redis.from_url(f"{redis_server}/1") as client:
        client.flushdb()
        yield client


@pytest.fixture
def redis_url(redis_server: str, redis_client: redis.Redis) -> str:
    """URL of an empty Redis database."""
    return f"{redis_server}/1"


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[str]:
    """URL of a PostgreSQL server of our own, which refuses to run as root."""
    found = [shutil.which("initdb"), *map(str, Path("/usr/lib/postgresql").glob("*/bin/initdb"))]
    initdb = next((Path(path) for path in found if path), None)
    if initdb is None:
        pytest.skip("PostgreSQL is not installed: neither on PATH nor in /usr/lib/postgresql")
    owner = "nobody" if os.geteuid() == 0 else None
    directory = Path(tempfile.mkdtemp(prefix="erni-postgres-"))
    if owner:
        shutil.chown(directory, owner)
    port = free_port()
    subprocess.run(
        [initdb, "-D", directory / "data", "-U", "erni", "--auth=trust", "--encoding=UTF8", "--no-sync"],
        check=True, user=owner, cwd=directory, stdout=subprocess.DEVNULL,
    )  # fmt: skip
    postgres = initdb.resolve().with_name("postgres")
    options = ["-c", "listen_addresses=127.0.0.1", "-c", "fsync=off", "-c", "max_connections=200"]
    with (directory / "log").open("wb") as log:
        server = subprocess.Popen(
            [postgres, "-D", directory / "data", "-k", directory, "-p", str(port), *options],
            user=owner, cwd=directory, stdout=log, stderr=log,
        )  # fmt: skip
    try:
        wait_for(lambda: (directory / f".s.PGSQL.{port}").exists() and accepts_connections(port))
        yield f"postgresql://erni@127.0.0.1:{port}/postgres"
    finally:
        # SIGTERM would wait until the last client hangs up.
        server.send_signal(signal.SIGINT)
        server.wait(START_TIMEOUT_S)
        shutil.rmtree(directory)


@pytest.fixture
def postgres_url(postgres_server: str) -> Iterator[str]:
    """URL of an empty PostgreSQL schema, which is far cheaper to make than a database."""
    psycopg = pytest.importorskip("psycopg", reason="the extra 'postgres' is not installed")
    schema = f"erni_{uuid4().hex}"
    with psycopg.connect(postgres_server, autocommit=True) as connection:
        connection.execute(f"CREATE SCHEMA {schema}")
        yield f"{postgres_server}?options=-csearch_path%3D{schema}"
        connection.execute(f"DROP SCHEMA {schema} CASCADE")


@pytest.fixture(params=["sqlite", "postgresql"])
def records_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """URL of an empty database, SQLite and PostgreSQL in turn."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/records.db"
    return str(request.getfixturevalue("postgres_url"))


@pytest.fixture(scope="session")
def s3_server() -> Iterator[str]:
    """Endpoint of an S3 server that takes any key and secret."""
    pytest.importorskip("moto.server", reason="moto is not installed")
    port = free_port()
    server = subprocess.Popen(
        [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)],
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    try:
        wait_for(lambda: accepts_connections(port))
        yield f"http://127.0.0.1:{port}"
    finally:
        server.terminate()
        server.wait(START_TIMEOUT_S)


@pytest.fixture
def s3_url(s3_server: str) -> str:
    """URL of a place in a new, empty bucket."""
    bucket = f"erni-{uuid4().hex}"
    httpx.put(f"{s3_server}/{bucket}").raise_for_status()
    return f"s3://{bucket}/blobs"


@pytest.fixture
def run_together() -> Callable[..., list[str]]:
    """Runs a script in several processes and returns what each printed.

    The script prints ``ready`` and waits with ``input()``; all are let go at the same moment.
    """

    def run(script: str, *arguments: str, processes: int) -> list[str]:
        pipe = subprocess.PIPE
        command = [sys.executable, "-W", "error", "-c", script, *arguments]
        running = [subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True) for _ in range(processes)]
        try:
            for process in running:
                assert process.stdout is not None
                assert process.stdout.readline() == "ready\n"
            for process in running:
                assert process.stdin is not None
                process.stdin.write("go\n")
                process.stdin.flush()
            printed = [process.communicate(timeout=60)[0] for process in running]
        finally:
            for process in running:
                process.kill()
                process.wait()
        assert [process.returncode for process in running] == [0] * processes
        return printed

    return run


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def accepts_connections(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def wait_for(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + START_TIMEOUT_S
    while not condition():
        assert time.monotonic() < deadline, "the server did not start in time"
        time.sleep(0.05)
