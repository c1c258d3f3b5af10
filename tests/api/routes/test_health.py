from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import httpx
import pytest
from flask import Flask

from api import create_app
from api.runtime import Runtime
from config.queue import QUEUES
from erni.redis_keys import worker_beacon
from erni.stores.database import open_database
from erni.stores.redis_beacons import RedisBeacons
from erni.stores.sql_jobs import SqlJobStore


@pytest.fixture
def workers(runtime: Runtime) -> Iterator[None]:
    """Workers that serve every queue, as their heartbeat announces them."""
    nodes = {f"worker@{queue}": {"queues": [queue], "ready": True} for queue in QUEUES}
    for node, beacon in nodes.items():
        RedisBeacons(runtime.redis).announce(node, beacon, lives_s=60.0)
    yield
    runtime.redis.delete(*map(worker_beacon, nodes))


def test_live_process_says_so(url: str) -> None:
    answer = httpx.get(f"{url}/livez", trust_env=False)
    assert (answer.status_code, answer.json()) == (200, {"status": "alive"})


def test_service_with_stores_and_workers_is_ready(url: str, workers: None) -> None:
    answer = httpx.get(f"{url}/readyz", trust_env=False)
    body = answer.json()
    assert (answer.status_code, body["status"]) == (200, "ready")
    assert list(body["probes"]) == ["records", "blobs", "redis", *(f"queue:{queue}" for queue in QUEUES)]
    assert all(probe == {"ok": True, "detail": "ok"} for probe in body["probes"].values())


def test_queue_without_a_worker_degrades_the_service(url: str) -> None:
    answer = httpx.get(f"{url}/readyz", trust_env=False)
    assert (answer.status_code, answer.json()["status"]) == (200, "degraded")
    assert answer.json()["probes"]["queue:media"]["ok"] is False
    assert answer.json()["probes"]["records"]["ok"] is True


def test_service_without_redis_is_unavailable_but_alive(app_without_redis: Flask) -> None:
    client = app_without_redis.test_client()
    started = time.monotonic()
    answer = client.get("/readyz")
    assert time.monotonic() - started < 3.0
    assert (answer.status_code, answer.get_json()["status"]) == (503, "unavailable")
    assert answer.get_json()["probes"]["redis"]["ok"] is False
    assert client.get("/livez").status_code == 200


def test_service_without_records_is_unavailable_and_tells_no_path(runtime: Runtime, tmp_path: Path) -> None:
    lost = SqlJobStore(open_database(f"sqlite:///{tmp_path}/absent/records.db"))
    app = create_app(replace(runtime, services=replace(runtime.services, jobs=lost)))
    answer = app.test_client().get("/readyz")
    assert answer.status_code == 503
    assert answer.get_json()["probes"]["records"] == {"ok": False, "detail": "cannot be reached"}
    assert str(tmp_path) not in answer.text
