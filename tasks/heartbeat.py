"""The worker's heartbeat: renews its claims on the messages it holds (``tasks.claims``), and says that it lives.

It beats in a thread with a connection of its own: the worker's event loop stands still while it talks to a broker
that does not answer, waits to connect again, or ends its last work, and the claims must outlast all three. An event
loop that stands still for good is the watchdog's to end.
"""

from __future__ import annotations

import threading
import time
from typing import Any, Final

import structlog
from celery import bootsteps
from redis import Redis
from redis.exceptions import RedisError

from config.bootstrap import build_redis
from erni.stores.redis_beacons import RedisBeacons
from tasks.app import celery_app, consumed_queues, settings
from tasks.claims import renew_claims, steadiness
from tasks.pool import is_pool_ready

log = structlog.get_logger(__name__)

BEACON_LIVES_BEATS: Final = 4
"""A worker that missed this many beats is taken for gone."""

PAUSE_AFTER_MISS_S: Final = 0.1
"""After an outage the claims must be renewed before some worker, connected again, looks for abandoned work."""


class Heartbeat(bootsteps.StartStopStep):  # type: ignore[misc]  # Celery ships no types
    """Starts with the worker's first connection and ends with its main process."""

    requires = ("celery.worker.consumer.tasks:Tasks",)

    def __init__(self, parent: Any, **kwargs: Any) -> None:
        super().__init__(parent, **kwargs)
        self._thread: threading.Thread | None = None

    def start(self, consumer: Any) -> None:
        if self._thread is None:
            self._thread = threading.Thread(target=beat_for_ever, args=(consumer,), name="heartbeat", daemon=True)
            self._thread.start()


def beat_for_ever(consumer: Any) -> None:
    """Beat until the process ends. The log tells the beginning of an outage and its end, not each beat missed."""
    client = build_redis(settings)
    is_missing = False
    while True:
        try:
            beat(client, consumer)
        except (RedisError, OSError) as error:
            if not is_missing:
                log.warning("heartbeat_missed", error=type(error).__name__)
            is_missing = True
            time.sleep(PAUSE_AFTER_MISS_S)
            continue
        if is_missing:
            log.info("heartbeat_resumed")
        is_missing = False
        time.sleep(settings.queue.heartbeat_s)


def beat(client: Redis, consumer: Any) -> None:
    """Renew the claims and the beacon."""
    renew_claims(client)
    lives_s = BEACON_LIVES_BEATS * settings.queue.heartbeat_s
    RedisBeacons(client).announce(consumer.hostname, describe_worker(consumer), lives_s=lives_s)
    steadiness.note_beat()


def describe_worker(consumer: Any) -> dict[str, Any]:
    """What readiness needs to know: which queues, how many processes, and whether they have loaded their models."""
    return {
        "queues": consumed_queues(),
        "processes": consumer.controller.concurrency,
        "ready": is_pool_ready(consumer.pool),
    }


celery_app.steps["consumer"].add(Heartbeat)
