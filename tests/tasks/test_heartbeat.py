"""The claim on work in hand, with real workers on a real Redis and a visibility timeout shorter than the task."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from collections.abc import Callable

import pytest
import redis
from celery import Celery

from erni.redis_keys import worker_beacon

pytestmark = pytest.mark.stack

TASK_S = 14.0
StartWorker = Callable[..., subprocess.Popen[bytes]]


def wait_for(client: redis.Redis, key: str, value: int, timeout_s: float) -> None:
    deadline = time.monotonic() + timeout_s
    while int(client.get(key) or 0) < value:  # type: ignore[arg-type]  # the synchronous client returns bytes
        assert time.monotonic() < deadline, f"{key} did not reach {value} within {timeout_s} s"
        time.sleep(0.1)


def count(client: redis.Redis, key: str) -> int:
    return int(client.get(key) or 0)  # type: ignore[arg-type]  # the synchronous client returns bytes


def send(redis_url: str, key: str) -> None:
    with Celery("sender", broker=redis_url) as app:
        app.conf.task_default_queue = "default"
        app.send_task("test.count_and_sleep", args=(key, TASK_S), queue="default")


def test_a_task_longer_than_the_visibility_timeout_runs_once(
    redis_url: str, redis_client: redis.Redis, start_worker: StartWorker
) -> None:
    start_worker("first@one", heartbeat_s=1.0)
    start_worker("second@two", heartbeat_s=1.0)
    send(redis_url, "held")
    wait_for(redis_client, "held:ended", 1, timeout_s=60)
    assert count(redis_client, "held:begun") == 1


def test_without_the_heartbeat_the_same_task_would_run_twice(
    redis_url: str, redis_client: redis.Redis, start_worker: StartWorker
) -> None:
    """The control of the test above: it is the heartbeat, not luck, that keeps the task from running again."""
    start_worker("first@one", heartbeat_s=3600.0)
    start_worker("second@two", heartbeat_s=3600.0)
    send(redis_url, "lost")
    wait_for(redis_client, "lost:begun", 2, timeout_s=60)


def test_a_killed_workers_task_runs_again_within_seconds(
    redis_url: str, redis_client: redis.Redis, start_worker: StartWorker
) -> None:
    victim = start_worker("victim@one", heartbeat_s=1.0)
    send(redis_url, "killed")
    wait_for(redis_client, "killed:begun", 1, timeout_s=60)
    os.killpg(victim.pid, signal.SIGKILL)
    killed_at = time.monotonic()
    start_worker("heir@two", heartbeat_s=1.0)
    wait_for(redis_client, "killed:begun", 2, timeout_s=60)
    assert time.monotonic() - killed_at < 45
    wait_for(redis_client, "killed:ended", 1, timeout_s=30)
    assert count(redis_client, "killed:begun") == 2


def test_a_living_worker_shows_its_queues_and_readiness(redis_client: redis.Redis, start_worker: StartWorker) -> None:
    worker = start_worker("shown@here", heartbeat_s=1.0)
    deadline = time.monotonic() + 60
    beacon: dict[str, object] = {}
    while not beacon.get("ready"):
        assert time.monotonic() < deadline, f"no readiness: {beacon}"
        time.sleep(0.2)
        beacon = json.loads(redis_client.get(worker_beacon("shown@here")) or b"{}")  # type: ignore[arg-type]  # synchronous
    assert beacon["queues"] == ["default"]
    os.killpg(worker.pid, signal.SIGKILL)
    time.sleep(5)
    assert redis_client.get(worker_beacon("shown@here")) is None
