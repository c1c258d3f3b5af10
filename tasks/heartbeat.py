"""The worker's heartbeat: renews its claim on the messages it holds, and says that it lives.

Redis knows no connection's end: Celery's transport delivers a message again once it has lain unacknowledged for
the visibility timeout, also while its task still runs (celery#5935). The time it has lain is its score in the
sorted set ``unacked_index``; raising the scores of the messages this worker still holds makes the timeout count
from the worker's last sign of life, so it can be seconds instead of hours.
"""

from __future__ import annotations

import json
import time
from typing import Any

import structlog
from celery import bootsteps
from redis.exceptions import RedisError

from erni.redis_keys import worker_beacon
from tasks.app import celery_app, consumed_queues, ready_processes, settings

log = structlog.get_logger(__name__)

BEACON_LIVES_BEATS = 4
"""A worker that missed this many beats is taken for gone."""


class Heartbeat(bootsteps.StartStopStep):  # type: ignore[misc]  # Celery ships no types
    """Runs in the worker's main process, on its event loop's timer."""

    requires = ("celery.worker.consumer.tasks:Tasks",)

    def __init__(self, parent: Any, **kwargs: Any) -> None:
        super().__init__(parent, **kwargs)
        self._timer: Any = None

    def start(self, consumer: Any) -> None:
        self._timer = consumer.timer.call_repeatedly(settings.queue.heartbeat_s, beat, (consumer,))

    def stop(self, consumer: Any) -> None:  # noqa: ARG002  # Celery calls it with the consumer
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None


def beat(consumer: Any) -> None:
    """Renew the claims and the beacon. A broker that is away is Celery's to report; the next beat tries again."""
    try:
        channel = consumer.task_consumer.channel
        with channel.conn_or_acquire() as client:
            renew_claims(client, channel)
            client.set(
                worker_beacon(consumer.hostname),
                json.dumps(describe_worker(consumer)),
                px=int(BEACON_LIVES_BEATS * settings.queue.heartbeat_s * 1000),
            )
    except (RedisError, OSError) as error:
        log.warning("heartbeat_missed", error=type(error).__name__)


def renew_claims(client: Any, channel: Any) -> int:
    """Set the score of every message this channel holds to now; returns how many there are.

    ``XX`` so that a message acknowledged meanwhile is not brought back.
    """
    tags = list(channel.qos._delivered)  # noqa: SLF001  # kombu keeps the held delivery tags nowhere else
    if tags:
        now = time.time()
        client.zadd(channel.unacked_index_key, dict.fromkeys(tags, now), xx=True)
    return len(tags)


def describe_worker(consumer: Any) -> dict[str, Any]:
    """What readiness needs to know: which queues, how many processes, and whether they have loaded their models."""
    return {
        "queues": consumed_queues(),
        "processes": consumer.pool.num_processes,
        "ready": ready_processes.value >= consumer.pool.num_processes,
    }


celery_app.steps["consumer"].add(Heartbeat)
