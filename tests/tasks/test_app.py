"""Workers told to stop hand their work on; the worker for long work gives way to the others."""

from __future__ import annotations

import signal
import subprocess
import time
from collections.abc import Callable
from typing import Any

import psutil
import pytest

pytestmark = pytest.mark.stack

StartWorker = Callable[..., subprocess.Popen[bytes]]
SLOW_REDELIVERY = {"ERNI_QUEUE__VISIBILITY_TIMEOUT_S": "300"}
"""So that what comes back within seconds was handed back, and not found abandoned."""


def test_work_too_long_for_the_drain_is_handed_to_another_worker(broker: Any, start_worker: StartWorker) -> None:
    leaver = start_worker("leaver@one", ERNI_QUEUE__DRAIN_S="2", **SLOW_REDELIVERY)
    broker.send("test.work_until_told", "long", 60)
    broker.wait_for("long:begun", 1)
    start_worker("heir@two", **SLOW_REDELIVERY)
    broker.wait_until_ready("heir@two")
    leaver.terminate()
    told_at = time.monotonic()
    broker.wait_for("long:begun", 2, timeout_s=20)
    assert 2 <= time.monotonic() - told_at < 7
    assert leaver.wait(10) == 0
    assert broker.count("long:ended") == 0


def test_work_shorter_than_the_drain_is_finished(broker: Any, start_worker: StartWorker) -> None:
    leaver = start_worker("leaver@one", ERNI_QUEUE__DRAIN_S="20")
    broker.send("test.work_until_told", "short", 4)
    broker.wait_for("short:begun", 1)
    leaver.terminate()
    assert leaver.wait(15) == 0
    assert (broker.count("short:begun"), broker.count("short:ended")) == (1, 1)
    assert broker.client.hlen("unacked") == 0
    assert broker.client.llen("default") == 0


def test_work_in_a_drain_longer_than_the_visibility_timeout_runs_once(broker: Any, start_worker: StartWorker) -> None:
    leaver = start_worker("leaver@one", ERNI_QUEUE__DRAIN_S="60")
    broker.send("test.work_until_told", "kept", 12)
    broker.wait_for("kept:begun", 1)
    start_worker("idle@two")
    leaver.terminate()
    assert leaver.wait(30) == 0
    assert (broker.count("kept:begun"), broker.count("kept:ended")) == (1, 1)


@pytest.mark.parametrize("second", [signal.SIGTERM, signal.SIGINT])
def test_a_second_signal_ends_the_drain_at_once(broker: Any, start_worker: StartWorker, second: signal.Signals) -> None:
    leaver = start_worker("leaver@one", ERNI_QUEUE__DRAIN_S="300", **SLOW_REDELIVERY)
    broker.send("test.work_until_told", "waiting", 300)
    broker.wait_for("waiting:begun", 1)
    leaver.terminate()
    time.sleep(2)
    assert leaver.poll() is None
    leaver.send_signal(second)
    leaver.wait(10)
    assert broker.client.llen("default") == 1


def test_a_message_that_waits_for_its_time_is_handed_back_too(broker: Any, start_worker: StartWorker) -> None:
    leaver = start_worker("leaver@one", ERNI_QUEUE__DRAIN_S="1", **SLOW_REDELIVERY)
    broker.send_later("test.count", 300, "later")
    deadline = time.monotonic() + 60
    while broker.client.hlen("unacked") == 0:
        assert time.monotonic() < deadline
        time.sleep(0.1)
    leaver.terminate()
    assert leaver.wait(15) == 0
    assert broker.client.llen("default") == 1


def test_long_work_gives_way_and_loads_no_model_before_its_first_job(broker: Any, start_worker: StartWorker) -> None:
    worker = start_worker("long@here", queue="long")
    broker.wait_until_ready("long@here")
    parent = psutil.Process(worker.pid)
    (child,) = parent.children()
    assert parent.nice() == psutil.Process().nice()
    assert child.nice() == min(19, parent.nice() + 10)
    assert not [mapping.path for mapping in child.memory_maps() if "libtorch" in mapping.path]
    assert broker.beacon("long@here")["queues"] == ["long"]
