"""Workers outlive their broker: nothing is lost, run twice or left waiting when Redis restarts, stalls or forgets."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Callable
from typing import Any

import pytest

from tasks.claims import Steadiness

pytestmark = pytest.mark.stack

StartWorker = Callable[..., subprocess.Popen[bytes]]
TWO_PROCESSES = {"ERNI_WORKERS__DEFAULT": "2"}


def test_a_task_sent_after_a_restart_is_done_and_one_begun_before_runs_once(
    own_redis: Any, start_worker: StartWorker
) -> None:
    """With a process idle, so that the worker also waits for a message when its connection breaks."""
    worker = start_worker("survivor@one", ERNI_REDIS__URL=own_redis.url, **TWO_PROCESSES)
    own_redis.send("test.count_and_sleep", "before", 12.0)
    own_redis.wait_for("before:begun", 1)
    own_redis.stop()
    time.sleep(3)
    own_redis.start()
    own_redis.send("test.count", "after")
    own_redis.wait_for("after", 1, timeout_s=20)
    own_redis.wait_for("before:ended", 1, timeout_s=20)
    time.sleep(7)
    assert own_redis.count("before:begun") == 1
    assert own_redis.client.hlen("unacked") == 0
    assert worker.poll() is None


def test_what_ends_in_an_outage_is_recorded_and_acknowledged_after_it(
    own_redis: Any, start_worker: StartWorker
) -> None:
    """A retry that could not be sent and a chord that could not be counted would be lost."""
    start_worker("patient@one", ERNI_REDIS__URL=own_redis.url, ERNI_WORKERS__DEFAULT="3")
    own_redis.wait_until_ready("patient@one")
    own_redis.send("test.sleep_and_retry", "again", 3.0)
    own_redis.send("test.send_chord", "body", 3.0)
    own_redis.wait_for("again:begun", 1)
    own_redis.wait_for("body:sent", 1)
    own_redis.stop()
    time.sleep(6)
    own_redis.start()
    own_redis.wait_for("again:ended", 1, timeout_s=30)
    own_redis.wait_for("body", 1, timeout_s=30)
    time.sleep(7)
    assert [own_redis.count(key) for key in ("again:begun", "again:ended", "body")] == [1, 1, 1]
    assert own_redis.client.hlen("unacked") == 0


def test_a_pause_longer_than_the_visibility_timeout_costs_no_claim(own_redis: Any, start_worker: StartWorker) -> None:
    start_worker("holder@one", ERNI_REDIS__URL=own_redis.url)
    own_redis.send("test.count_and_sleep", "held", 16.0)
    own_redis.wait_for("held:begun", 1)
    start_worker("idle@two", ERNI_REDIS__URL=own_redis.url)
    own_redis.wait_until_ready("idle@two")
    own_redis.freeze()
    time.sleep(8)
    own_redis.thaw()
    own_redis.wait_for("held:ended", 1, timeout_s=30)
    assert own_redis.count("held:begun") == 1


def test_workers_go_on_when_redis_forgets_everything(own_redis: Any, start_worker: StartWorker) -> None:
    start_worker("survivor@one", ERNI_REDIS__URL=own_redis.url, **TWO_PROCESSES)
    own_redis.send("test.count_and_sleep", "before", 4.0)
    own_redis.wait_for("before:begun", 1)
    own_redis.client.flushall()
    own_redis.send("test.count", "after")
    own_redis.wait_for("after", 1, timeout_s=5)
    own_redis.wait_for("before:ended", 1, timeout_s=10)


def test_a_worker_takes_work_back_only_while_its_own_beats_go_through() -> None:
    steadiness = Steadiness(beat_s=0.1)
    assert not steadiness.is_steady  # it has just begun
    for _ in range(5):
        time.sleep(0.1)
        steadiness.note_beat()
    assert steadiness.is_steady
    time.sleep(0.3)
    assert not steadiness.is_steady  # beats are missing
    steadiness.note_beat()
    assert not steadiness.is_steady  # the others may not have beaten yet
    for _ in range(3):
        time.sleep(0.1)
        steadiness.note_beat()
    assert steadiness.is_steady
