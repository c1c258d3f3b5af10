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
from typing import Any

from celery import bootsteps
from celery.worker import state
from kombu.transport.redis import Channel
from redis import Redis

from tasks.app import celery_app


def renew_claims(client: Redis) -> None:
    """Set the score of every message this worker holds to now.

    ``XX`` so that a message acknowledged meanwhile is not brought back, ``GT`` so that a command which an outage
    held up does not undo a later one.
    """
    tags = [request.message.delivery_tag for request in list(state.requests.values())]
    if tags:
        client.zadd(Channel.unacked_index_key, dict.fromkeys(tags, time.time()), xx=True, gt=True)


class KeptClaims(bootsteps.StartStopStep):  # type: ignore[misc]  # Celery ships no types
    """Hands the messages in hand to each new connection.

    By itself kombu gives a lost connection's messages back, although their tasks still run, over the connection
    that is lost, and ends the worker with an AttributeError when it also waited for a message.
    """

    requires = ("celery.worker.consumer.tasks:Tasks",)

    def start(self, consumer: Any) -> None:
        channel = consumer.task_consumer.channel
        channel.do_restore = False
        for request in list(state.requests.values()):
            request.message.channel = channel

    def shutdown(self, consumer: Any) -> None:
        """The worker ends: what it waited to begin goes back at once."""
        if consumer.task_consumer is not None:
            consumer.task_consumer.channel.do_restore = True


celery_app.steps["consumer"].add(KeptClaims)
