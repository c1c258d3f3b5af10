"""A worker's claims on the messages it holds: renewed while it lives, and kept when its connection is replaced.

Redis knows no connection's end: Celery's transport delivers a message again once it has lain unacknowledged for
the visibility timeout, also while its task still runs (celery#5935). The time it has lain is its score in the
sorted set ``unacked_index``; raising the scores of the messages this worker still holds makes the timeout count
from the worker's last sign of life, so it can be seconds instead of hours.

A lost connection does not end the tasks that run, and so not the claims on their messages: what a task finishes
during an outage is acknowledged after it.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from celery import bootsteps
from celery.signals import task_received
from kombu.transport.redis import Channel
from redis import Redis

from tasks.app import celery_app, settings


class Steadiness:
    """Whether this worker's heartbeat has gone through for a while.

    After an outage every claim looks abandoned until its holder has renewed it. So a worker that had none of its own
    beats answered lately takes back nobody's work before the others have had the time to beat as well.
    """

    def __init__(self, beat_s: float) -> None:
        self._longest_gap_s = 2 * beat_s
        self._last_s = self._since_s = time.monotonic()

    def note_beat(self) -> None:
        now_s = time.monotonic()
        if now_s - self._last_s > self._longest_gap_s:
            self._since_s = now_s
        self._last_s = now_s

    @property
    def is_steady(self) -> bool:
        now_s = time.monotonic()
        return now_s - self._last_s <= self._longest_gap_s <= now_s - self._since_s


steadiness = Steadiness(settings.queue.heartbeat_s)

_received: dict[str, Any] = {}
"""Requests by the delivery tag of their message, until they are acknowledged.

Celery's own list (``celery.worker.state.requests``) is by the task's id, which a retry keeps: when its message arrives
before the run that sent it has ended here, that end takes the new message off the list, and the claim on it with it.
"""


@task_received.connect
def _hold(request: Any, **_: Any) -> None:
    _received[request.message.delivery_tag] = request


def held_requests() -> list[Any]:
    """What this worker has received and not acknowledged or given back: running, waiting to, or until its time."""
    for tag, request in list(_received.items()):
        if request.acknowledged:
            del _received[tag]
    return list(_received.values())


def renew_claims(client: Redis) -> None:
    """Set the score of every message this worker holds to now.

    ``XX`` so that a message acknowledged meanwhile is not brought back, ``GT`` so that a command which an outage
    held up does not undo a later one.
    """
    tags = [request.message.delivery_tag for request in held_requests()]
    if tags:
        client.zadd(Channel.unacked_index_key, dict.fromkeys(tags, time.time()), xx=True, gt=True)


def restore_when_steady(restore: Callable[..., None]) -> Callable[..., None]:
    """kombu's look for abandoned messages, left out while this worker cannot know what is abandoned."""

    def restore_visible(*arguments: Any, **options: Any) -> None:
        if steadiness.is_steady:
            restore(*arguments, **options)

    return restore_visible


class KeptClaims(bootsteps.StartStopStep):  # type: ignore[misc]  # Celery ships no types
    """Hands the messages in hand to each new connection.

    By itself kombu gives a lost connection's messages back, although their tasks still run, over the connection
    that is lost, and ends the worker with an AttributeError when it also waited for a message.
    """

    requires = ("celery.worker.consumer.tasks:Tasks",)

    def start(self, consumer: Any) -> None:
        channel = consumer.task_consumer.channel
        channel.do_restore = False
        channel.qos.restore_visible = restore_when_steady(channel.qos.restore_visible)
        for request in held_requests():
            request.message.channel = channel

    def shutdown(self, consumer: Any) -> None:
        """The worker ends: what it waited to begin goes back at once."""
        if consumer.task_consumer is not None:
            consumer.task_consumer.channel.do_restore = True


celery_app.steps["consumer"].add(KeptClaims)
