"""Real workers on the default queue, with an app of a test's own beside the project's tasks."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

VISIBILITY_S = 5
StartWorker = Callable[..., subprocess.Popen[bytes]]


@pytest.fixture
def start_worker(redis_url: str, tmp_path: Path) -> Iterator[StartWorker]:
    """Start workers by name; their whole process groups are ended with the test."""
    started: list[subprocess.Popen[bytes]] = []

    def start(name: str, heartbeat_s: float = 1.0, app: str = "slow_app") -> subprocess.Popen[bytes]:
        environment = {
            **os.environ,
            "ERNI_REDIS__URL": redis_url,
            "ERNI_DATA_DIR": str(tmp_path),
            "ERNI_QUEUE__VISIBILITY_TIMEOUT_S": str(VISIBILITY_S),
            "ERNI_QUEUE__RESTORE_INTERVAL_S": "1",
            "ERNI_QUEUE__HEARTBEAT_S": str(heartbeat_s),
        }
        command = [sys.executable, "-m", "celery", "-A", app, "worker", "-Q", "default", "-n", name]
        with (tmp_path / f"{name}.log").open("wb") as log:
            worker = subprocess.Popen(
                command,
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
