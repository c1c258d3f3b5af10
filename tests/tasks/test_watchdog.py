"""A worker that takes no work ends itself; one that is idle, busy or without a broker does not."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import pytest

pytestmark = pytest.mark.stack

StartWorker = Callable[..., subprocess.Popen[bytes]]
STALL_S = 3.0
PROBES = 3
WATCHED = {"ERNI_QUEUE__STALL_AFTER_S": str(STALL_S)}
STALLED = 75


def probe_keys(broker: Any) -> list[bytes]:
    return list(broker.client.scan_iter(match="probe.*"))


def count_probes(broker: Any) -> int:
    """Since the server started: each sets the expiry of its queue, once per priority kombu knows."""
    statistics = broker.client.info("commandstats").get("cmdstat_pexpire", {"calls": 0})
    return int(statistics["calls"]) // 4


@pytest.mark.parametrize("app", ["deaf_app", "hung_app"])
def test_a_worker_that_stops_consuming_ends_itself_and_its_pool(
    broker: Any, start_worker: StartWorker, tmp_path: Path, app: str
) -> None:
    worker = start_worker("stalled@here", app=app, **WATCHED)
    broker.wait_until_ready("stalled@here")
    ready_at = time.monotonic()
    children = psutil.Process(worker.pid).children()
    assert children
    assert worker.wait(30) == STALLED
    assert STALL_S < time.monotonic() - ready_at < 4 + STALL_S + 6
    psutil.wait_procs(children, timeout=5)
    assert not any(child.is_running() for child in children)
    assert "worker_not_consuming" in (tmp_path / "stalled@here.log").read_text()
    time.sleep(STALL_S + 1)
    assert probe_keys(broker) == []


def test_an_idle_worker_answers_its_probes_and_lives(broker: Any, start_worker: StartWorker, tmp_path: Path) -> None:
    worker = start_worker("idle@here", **WATCHED)
    broker.wait_until_ready("idle@here")
    before = count_probes(broker)
    deadline = time.monotonic() + 3 * STALL_S
    while time.monotonic() < deadline:
        assert worker.poll() is None
        assert sum(broker.client.llen(key) for key in probe_keys(broker)) <= 1
        time.sleep(0.2)
    assert count_probes(broker) - before >= 2 * PROBES, "few probes were sent, so it did not live by its answers"
    assert "answer_probe" not in (tmp_path / "idle@here.log").read_text(), "a probe must not fill the logs"
    broker.send("test.count", "alive")
    broker.wait_for("alive", 1, timeout_s=5)


def test_a_worker_with_all_its_processes_busy_lives(broker: Any, start_worker: StartWorker) -> None:
    worker = start_worker("busy@here", **WATCHED)
    broker.send("test.count_and_sleep", "busy", 3 * STALL_S)
    broker.send("test.count", "next")
    broker.wait_for("busy:begun", 1)
    broker.wait_for("next", 1, timeout_s=4 * STALL_S)
    assert broker.count("busy:ended") == 1
    assert worker.poll() is None


def test_a_worker_whose_broker_is_away_lives(own_redis: Any, start_worker: StartWorker) -> None:
    worker = start_worker("cut-off@here", ERNI_REDIS__URL=own_redis.url, **WATCHED)
    own_redis.wait_until_ready("cut-off@here")
    own_redis.freeze()
    time.sleep(3 * STALL_S)
    own_redis.thaw()
    own_redis.send("test.count", "after")
    own_redis.wait_for("after", 1, timeout_s=5)
    time.sleep(2 * STALL_S)
    assert worker.poll() is None
