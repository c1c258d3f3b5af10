"""What waits in the queues and what workers hold, read from Celery's structures in Redis without Celery.

Kombu's Redis transport keeps a list per queue (LPUSH, so the oldest message is the last) and one hash
``unacked`` of ``[message, exchange, routing key]`` for what was delivered but not acknowledged
(``kombu/transport/redis.py``). Erni's senders stamp each message with the headers ``job_id`` and ``sent_at``
(epoch seconds) and set no priority.
"""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Final

from redis import Redis
from redis.exceptions import RedisError

from erni.errors import QueueUnavailable
from erni.jobs import StepKind
from erni.stores.redis_beacons import RedisBeacons

UNACKED_KEY: Final = "unacked"
_WINDOW: Final = 500
"""Messages fetched at once: bounds memory and the time Redis is kept from others."""

_Text = bytes | str


@dataclass(frozen=True, slots=True)
class QueueState:
    """``held`` messages are with a worker; ``oldest_age_s`` is the age of the oldest one waiting, if any."""

    name: str
    waiting: int
    held: int
    oldest_age_s: float | None


class RedisQueueState:
    """Reads the broker, and what workers say of themselves. A method may raise QueueUnavailable unless it says not.

    ``queue_of_kind`` names the queue whose workers take a kind of piece; of other kinds there are none to count.
    """

    def __init__(
        self,
        redis: Redis,
        queues: Sequence[str],
        clock: Callable[[], float] = time.time,
        *,
        queue_of_kind: Mapping[StepKind, str] = MappingProxyType({}),
    ) -> None:
        self._redis = redis
        self._queues = queues
        self._clock = clock
        self._queue_of_kind = queue_of_kind

    def read(self) -> list[QueueState]:
        """Length, held messages and oldest age of each queue."""
        with _broker_errors():
            held = Counter(routing_key for _, routing_key in self._held_messages())
            return [
                QueueState(name, self._waiting(name), held[name], self._oldest_age_s(name)) for name in self._queues
            ]

    def jobs_in_queue(self) -> set[str]:
        """Ids of all jobs that a waiting or held message belongs to.

        The hash is read before the lists and after them, and each list from its newest end, because messages move
        from the lists to the hash and, handed back or delivered again, from the hash to the lists, and new ones push
        the others up: what moves meanwhile is seen twice, not never.
        """
        with _broker_errors():
            headers = [header for header, _ in self._held_messages()]
            headers += [_headers(message) for name in self._queues for message in self._waiting_messages(name)]
            headers += [header for header, _ in self._held_messages()]
        return {header["job_id"] for header in headers if isinstance(header.get("job_id"), str)}

    def served_queues(self) -> set[str]:
        """Queues that a living worker with its models loaded takes work from."""
        with _broker_errors():
            beacons = self._ready_beacons()
        return {queue for beacon in beacons for queue in beacon["queues"]}

    def count_processes(self, kind: StepKind) -> int:
        """Processes of living workers, their models loaded, that take a kind of piece. Never raises: 0 when Redis is
        away.
        """
        try:
            beacons = self._ready_beacons()
        except RedisError:
            return 0
        queue = self._queue_of_kind.get(kind)
        return sum(beacon.get("processes", 0) for beacon in beacons if queue in beacon["queues"])

    def _ready_beacons(self) -> list[dict[str, Any]]:
        return [beacon for beacon in RedisBeacons(self._redis).living() if _is_ready(beacon)]

    def _waiting(self, name: str) -> int:
        return self._redis.llen(name)

    def _oldest_age_s(self, name: str) -> float | None:
        message = self._redis.lindex(name, -1)
        sent_at = _headers(message).get("sent_at") if message is not None else None
        return max(0.0, self._clock() - sent_at) if isinstance(sent_at, int | float) else None

    def _waiting_messages(self, name: str) -> Iterator[_Text]:
        start = 0
        while window := self._redis.lrange(name, start, start + _WINDOW - 1):
            yield from window
            start += _WINDOW

    def _held_messages(self) -> Iterator[tuple[dict[str, Any], str]]:
        """Headers and routing key (the queue's name) of what was delivered but not acknowledged."""
        for _, content in self._redis.hscan_iter(UNACKED_KEY, count=_WINDOW):
            match _load(content):
                case [{"headers": dict() as headers}, _, str() as routing_key]:
                    yield headers, routing_key


@contextmanager
def _broker_errors() -> Iterator[None]:
    try:
        yield
    except RedisError as error:
        raise QueueUnavailable("The broker does not answer.") from error


def _headers(message: _Text) -> dict[str, Any]:
    match _load(message):
        case {"headers": dict() as headers}:
            return headers
    return {}


def _is_ready(beacon: Any) -> bool:
    match beacon:
        case {"queues": list(), "ready": True}:
            return True
    return False


def _load(content: _Text) -> Any:
    """JSON, or ``None``: what is not JSON was not put there by us and is not counted."""
    try:
        return json.loads(content)
    except ValueError:
        return None
