"""The API as it is run: gunicorn with two processes over SQLite, a directory of blobs and a real Redis."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import httpx
import pytest
import redis
from flask import Flask

from api import create_app
from api.runtime import Runtime
from config.bootstrap import build_offers, build_redis, build_services, initialise, make_key
from config.engines import build_catalogue
from config.queue import QUEUES
from config.settings import ApiSettings, RedisSettings, Settings
from erni import blob_paths, codec
from erni.jobs import Job, JobStatus
from erni.keys import make_token
from erni.model import Coverage, Segment, Transcript, Word
from erni.services import Services

MAX_UPLOAD_BYTES = 2_000_000
START_TIMEOUT_S = 30.0

TRANSCRIPT = Transcript(
    language="en",
    segments=(
        Segment(
            0.5,
            1.5,
            "SPEAKER_1",
            (Word("Good", 0.5, 0.9, speaker="SPEAKER_1"), Word("morning.", 0.9, 1.5, speaker="SPEAKER_1")),
        ),
    ),
    speakers=("SPEAKER_1",),
    coverage=Coverage(duration_s=2.0, speech_s=1.0, covered_speech_s=1.0, word_count=2),
)


@dataclass(frozen=True)
class FullDisk:
    """A caller of the server whose disk is full, and what the server stores."""

    client: httpx.Client
    services: Services
    data_dir: Path

    def files(self, directory: str) -> list[str]:
        return [path.name for path in (self.data_dir / directory).rglob("*") if path.is_file()]


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
        return port


@contextmanager
def running(command: list[str], log: Path, environment: dict[str, str] | None = None) -> Iterator[None]:
    """A process for as long as the context; its output goes to ``log``."""
    with log.open("wb") as output:
        process = subprocess.Popen(command, env=environment, stdout=output, stderr=output)
    try:
        yield
    finally:
        process.terminate()
        process.wait(START_TIMEOUT_S)


def wait_until(is_up: Callable[[], object], log: Path) -> None:
    deadline = time.monotonic() + START_TIMEOUT_S
    while time.monotonic() < deadline:
        try:
            is_up()
        except httpx.TransportError:
            time.sleep(0.05)
        else:
            return
    pytest.fail(f"the server did not start: {log.read_text()}")


@pytest.fixture(scope="session")
def redis_url(redis_server: str) -> str:
    """A database that stays as it is through all tests of the API."""
    return f"{redis_server}/0"


@pytest.fixture(scope="session")
def settings(redis_url: str, tmp_path_factory: pytest.TempPathFactory) -> Settings:
    return Settings(
        data_dir=tmp_path_factory.mktemp("data"),
        redis=RedisSettings.model_validate({"url": redis_url}),
        api=ApiSettings.model_validate({"port": free_port(), "max_upload_bytes": MAX_UPLOAD_BYTES}),
    )


@pytest.fixture(scope="session")
def services(settings: Settings) -> Services:
    initialise(settings)
    return build_services(settings)


@pytest.fixture(scope="session")
def runtime(settings: Settings, services: Services) -> Runtime:
    return Runtime(
        services=services,
        redis=build_redis(settings),
        queues=QUEUES,
        offers=build_offers(settings, services),
        max_upload_bytes=settings.api.max_upload_bytes,
        page_size=settings.api.page_size,
        catalogue=build_catalogue(settings),
    )


@pytest.fixture
def app(runtime: Runtime) -> Flask:
    """The application in this process, for what a test must change inside it."""
    return create_app(runtime)


@pytest.fixture(scope="session")
def server_log(settings: Settings) -> Path:
    return settings.data_dir / "gunicorn.log"


@contextmanager
def serving(settings: Settings, log: Path, wrapper: Sequence[str] = ()) -> Iterator[str]:
    """A running server's base URL; ``wrapper`` is a command that runs the one after it."""
    assert settings.redis.url is not None
    environment = {
        **os.environ,
        "ERNI_DATA_DIR": str(settings.data_dir),
        "ERNI_REDIS__URL": settings.redis.url.get_secret_value(),
        "ERNI_API__PORT": str(settings.api.port),
        "ERNI_API__WORKERS": "2",
        "ERNI_API__MAX_UPLOAD_BYTES": str(MAX_UPLOAD_BYTES),
        "ERNI_LOG__FORMAT": "json",
    }
    command = [sys.executable, "-m", "gunicorn", "--config", "python:config.gunicorn", "api.wsgi:app"]
    with running([*wrapper, *command], log, environment):
        wait_until(lambda: httpx.get(f"{settings.api_url}/livez", trust_env=False), log)
        yield settings.api_url


@pytest.fixture(scope="session")
def url(settings: Settings, services: Services, server_log: Path) -> Iterator[str]:
    """The base URL of the running server."""
    with serving(settings, server_log) as url:
        yield url


@pytest.fixture
def full_disk(settings: Settings, tmp_path: Path) -> Callable[[int], AbstractContextManager[FullDisk]]:
    """Starts a server of its own that gets no file beyond so many bytes, as on a disk that is full."""

    @contextmanager
    def start(largest_file_bytes: int) -> Iterator[FullDisk]:
        api = settings.api.model_copy(update={"port": free_port()})
        own = settings.model_copy(update={"data_dir": tmp_path / "data", "api": api})
        initialise(own)
        services = build_services(own)
        # POSIX counts in blocks of 512 bytes. Python ignores the signal that comes with the error.
        limit = ["sh", "-c", f'ulimit -f {largest_file_bytes // 512}; exec "$@"', "sh"]
        with (
            serving(own, tmp_path / "gunicorn.log", limit) as url,
            open_client(url, add_key(services, "tenant")) as client,
        ):
            yield FullDisk(client, services, own.data_dir)

    return start


@pytest.fixture
def tenant() -> str:
    """A tenant of the test's own, so that tests may share a server."""
    return f"tenant-{uuid.uuid4().hex[:8]}"


@pytest.fixture
def token(services: Services, tenant: str) -> str:
    """A key of ``tenant``."""
    return add_key(services, tenant)


def add_key(services: Services, tenant: str) -> str:
    token = make_token()
    services.keys.add_key(make_key(token, tenant=tenant))
    return token


def open_client(url: str, token: str) -> httpx.Client:
    headers = {"Authorization": f"Bearer {token}"}
    return httpx.Client(base_url=url, headers=headers, timeout=30.0, trust_env=False)


@pytest.fixture
def client(url: str, token: str) -> Iterator[httpx.Client]:
    with open_client(url, token) as client:
        yield client


@pytest.fixture
def stranger(url: str, services: Services) -> Iterator[httpx.Client]:
    """A caller with a valid key of another tenant."""
    with open_client(url, add_key(services, "stranger")) as client:
        yield client


@pytest.fixture
def job(client: httpx.Client, services: Services) -> Job:
    """A job just accepted."""
    answer = client.post("/v1/jobs", files={"file": ("Stand up (1).flac", b"sound", "audio/flac")})
    assert answer.status_code == 202, answer.text
    return services.jobs.get(answer.json()["id"])


@pytest.fixture
def finished_job(job: Job, services: Services) -> Job:
    """A job with a transcript."""
    return end_with_transcript(services, job, JobStatus.SUCCEEDED)


@pytest.fixture
def partial_job(job: Job, services: Services) -> Job:
    """A job with a transcript that lacks something."""
    return end_with_transcript(services, job, JobStatus.PARTIAL)


def end_with_transcript(services: Services, job: Job, end: JobStatus) -> Job:
    services.blobs.put_bytes(blob_paths.transcript(job.job_id), codec.dump_transcript(TRANSCRIPT))
    for status in (JobStatus.PREPARING, JobStatus.PROCESSING, JobStatus.JOINING):
        assert services.jobs.advance(job.job_id, status)
    assert services.jobs.advance(job.job_id, end, {"finished_at": services.clock(), "duration_s": 2.0})
    return services.jobs.get(job.job_id)


@pytest.fixture
def app_without_redis(runtime: Runtime) -> Iterator[Flask]:
    """The application while Redis is away."""
    with redis.Redis(port=1) as absent:
        yield create_app(replace(runtime, redis=absent))
