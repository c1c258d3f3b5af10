"""Real workers with an app of a test's own beside the project's tasks, and a Redis that a test may stop."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import redis
from celery import Celery

from cli.port_checks import free_ports
from cli.redis_server import find_redis_server
from erni.redis_keys import worker_beacon

VISIBILITY_S = 5
START_LIMIT_S = 60.0
StartWorker = Callable[..., subprocess.Popen[bytes]]


@pytest.fixture
def start_worker(redis_url: str, tmp_path: Path) -> Iterator[StartWorker]:
    """Start workers by name; their whole process groups are ended with the test. ``settings`` are variables."""
    started: list[subprocess.Popen[bytes]] = []

    def start(
        name: str, heartbeat_s: float = 1.0, app: str = "slow_app", queue: str = "default", **settings: str
    ) -> subprocess.Popen[bytes]:
        environment = {
            **os.environ,
            "ERNI_REDIS__URL": redis_url,
            "ERNI_DATA_DIR": str(tmp_path),
            "ERNI_QUEUE__VISIBILITY_TIMEOUT_S": str(VISIBILITY_S),
            "ERNI_QUEUE__RESTORE_INTERVAL_S": "1",
            "ERNI_QUEUE__HEARTBEAT_S": str(heartbeat_s),
            **settings,
        }
        command = [sys.executable, "-m", "celery", "-A", app, "worker", "-Q", queue, "-n", name]
        with (tmp_path / f"{name}.log").open("wb") as log:
            worker = subprocess.Popen(
                [*command, "--without-gossip", "--without-mingle"],
                cwd=Path(__file__).parent,
                env=environment,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        started.append(worker)
        return worker

    yield start
    for worker in started:
        kill_group(worker)


def kill_group(worker: subprocess.Popen[bytes]) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(worker.pid, signal.SIGKILL)
    worker.wait(10)


class Broker:
    """What a test asks of Redis while workers use it: the counters of ``slow_app``'s tasks, and the beacons."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.client = redis.Redis.from_url(url)

    def send(self, name: str, *arguments: object) -> None:
        with Celery("sender", broker=self.url, set_as_current=False) as app:
            app.send_task(name, args=arguments, queue="default", ignore_result=True)

    def send_later(self, name: str, countdown_s: float, *arguments: object) -> None:
        with Celery("sender", broker=self.url, set_as_current=False) as app:
            app.send_task(name, args=arguments, countdown=countdown_s, queue="default", ignore_result=True)

    def count(self, key: str) -> int:
        return int(self.client.get(key) or 0)  # type: ignore[arg-type]  # the synchronous client returns bytes

    def wait_for(self, key: str, value: int, timeout_s: float = START_LIMIT_S) -> None:
        wait_until(lambda: self.count(key) >= value, f"{key} to reach {value}", timeout_s)

    def beacon(self, name: str) -> dict[str, Any]:
        beacon: dict[str, Any] = json.loads(self.client.get(worker_beacon(name)) or b"{}")  # type: ignore[arg-type]  # synchronous
        return beacon

    def wait_until_ready(self, name: str) -> None:
        wait_until(lambda: bool(self.beacon(name).get("ready")), f"{name} to be ready")


def wait_until(condition: Callable[[], bool], what: str, timeout_s: float = START_LIMIT_S) -> None:
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline, f"waited {timeout_s} s for {what}"
        time.sleep(0.05)


@pytest.fixture
def broker(redis_url: str) -> Iterator[Broker]:
    opened = Broker(redis_url)
    yield opened
    opened.client.close()


class OwnRedis(Broker):
    """A Redis server of one test, which keeps its data over a restart as in production."""

    def __init__(self, directory: Path) -> None:
        (self._port,) = free_ports(1)
        self._directory = directory
        super().__init__(f"redis://127.0.0.1:{self._port}/0")
        self.start()

    def start(self) -> None:
        persistence = ["--dir", str(self._directory), "--appendonly", "yes", "--save", ""]
        address = ["--port", str(self._port), "--bind", "127.0.0.1"]
        self._server = subprocess.Popen([find_redis_server(), *address, *persistence], stdout=subprocess.DEVNULL)
        wait_until(self._answers, "Redis to answer")

    def stop(self) -> None:
        self.thaw()
        self._server.terminate()
        self._server.wait(10)

    def freeze(self) -> None:
        self._server.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        self._server.send_signal(signal.SIGCONT)

    def _answers(self) -> bool:
        try:
            return bool(self.client.ping())
        except redis.RedisError:
            return False


@pytest.fixture
def own_redis(tmp_path: Path) -> Iterator[OwnRedis]:
    (tmp_path / "redis").mkdir()
    server = OwnRedis(tmp_path / "redis")
    yield server
    server.client.close()
    server.stop()
