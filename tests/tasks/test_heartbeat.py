"""The claim on work in hand, with real workers on a real Redis and a visibility timeout shorter than the task."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Callable
from typing import Any

import pytest

from erni.redis_keys import worker_beacon

pytestmark = pytest.mark.stack

TASK_S = 14.0
StartWorker = Callable[..., subprocess.Popen[bytes]]


def test_a_task_longer_than_the_visibility_timeout_runs_once(broker: Any, start_worker: StartWorker) -> None:
    start_worker("first@one")
    start_worker("second@two")
    broker.send("test.count_and_sleep", "held", TASK_S)
    broker.wait_for("held:ended", 1)
    assert broker.count("held:begun") == 1


def test_a_retry_that_waits_longer_than_the_visibility_timeout_comes_once(
    broker: Any, start_worker: StartWorker
) -> None:
    """Also when its message came to the same worker before the run that sent it had ended there."""
    start_worker("patient@one", ERNI_WORKERS__DEFAULT="2")
    broker.send("test.come_back_later", "later", TASK_S)
    broker.wait_for("later:ended", 1)
    time.sleep(2.0)
    assert broker.count("later:ended") == 1
    assert broker.client.hlen("unacked") == 0


def test_without_the_heartbeat_the_same_task_would_run_twice(broker: Any, start_worker: StartWorker) -> None:
    """The control of the test above: it is the heartbeat, not luck, that keeps the task from running again."""
    start_worker("silent@one", heartbeat_s=3600.0)
    broker.send("test.count_and_sleep", "lost", TASK_S)
    broker.wait_for("lost:begun", 1)
    start_worker("beating@two")
    broker.wait_for("lost:begun", 2)


def test_a_killed_workers_task_runs_again_within_seconds(broker: Any, start_worker: StartWorker) -> None:
    victim = start_worker("victim@one")
    broker.send("test.count_and_sleep", "killed", TASK_S)
    broker.wait_for("killed:begun", 1)
    os.killpg(victim.pid, signal.SIGKILL)
    killed_at = time.monotonic()
    start_worker("heir@two")
    broker.wait_for("killed:begun", 2)
    assert time.monotonic() - killed_at < 45
    broker.wait_for("killed:ended", 1, timeout_s=30)
    assert broker.count("killed:begun") == 2


def test_a_living_worker_shows_its_queues_and_readiness(broker: Any, start_worker: StartWorker) -> None:
    worker = start_worker("shown@here")
    broker.wait_until_ready("shown@here")
    assert broker.beacon("shown@here") == {"queues": ["default"], "processes": 1, "ready": True}
    os.killpg(worker.pid, signal.SIGKILL)
    time.sleep(5)
    assert broker.client.get(worker_beacon("shown@here")) is None
