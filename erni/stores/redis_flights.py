"""Single flight over all hosts: a lease per key in Redis, renewed by a thread while its holder lives.

A lease and not a lock, because a holder may be killed at any moment; the value tells its own lease from another's,
so that nobody frees or renews what is no longer his ("Distributed Locks with Redis", redis.io). Should Redis forget
the lease (a flush, a restart), the holder takes it again at its next renewal unless someone was faster.
"""

from __future__ import annotations

import threading
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Final

import structlog
from redis import Redis
from redis.exceptions import RedisError

from erni import redis_keys
from erni.errors import QueueUnavailable, WorkInFlight

log = structlog.get_logger(__name__)

LOOK_AGAIN_S: Final = 1.0
LEAVE_S: Final = 2.0
"""Longest wait for Redis to free a key: a hung one must not hold up work that is done."""
_RENEWALS_PER_LEASE: Final = 4

_TAKE_OR_RENEW: Final = """
local holder = redis.call('GET', KEYS[1])
if holder and holder ~= ARGV[1] then return 0 end
redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
return 1
"""
_FREE: Final = "if redis.call('GET', KEYS[1]) == ARGV[1] then return redis.call('DEL', KEYS[1]) end return 0"


class RedisFlights:
    """The ``Flights`` port. ``lease_s`` is how long the lease of a holder that died outlives it."""

    def __init__(self, redis: Redis, *, lease_s: float) -> None:
        self._redis = redis
        self._lease_s = lease_s

    @contextmanager
    def hold(self, key: str) -> Iterator[None]:
        name, holder, done = redis_keys.flight(key), uuid.uuid4().hex, threading.Event()
        keeper = threading.Thread(target=self._keep, args=(name, holder, done), daemon=True, name="flight")
        # A time limit may strike at any line: from before the thread starts, whatever happens must also end it.
        try:
            self._take(name, holder)
            keeper.start()
            yield
        finally:
            done.set()
            if keeper.is_alive():
                keeper.join(LEAVE_S)

    def _take(self, name: str, holder: str) -> None:
        try:
            is_mine = self._take_or_renew(name, holder)
        except RedisError as error:
            raise QueueUnavailable("Redis does not say whether this piece of work is being done already.") from error
        if not is_mine:
            raise WorkInFlight("Another worker is at the same piece of work.", retry_after_s=LOOK_AGAIN_S)

    def _keep(self, name: str, holder: str, done: threading.Event) -> None:
        """Renew until done, then free. Who took the key after Redis forgot it is not driven out, but waited for."""
        while not done.wait(self._lease_s / _RENEWALS_PER_LEASE):
            try:
                if not self._take_or_renew(name, holder):
                    log.warning("flight_taken_over")
            except RedisError as error:
                log.warning("flight_not_renewed", error=type(error).__name__)
        # Unfreed it ends with its lease.
        with suppress(RedisError):
            self._redis.eval(_FREE, 1, name, holder)

    def _take_or_renew(self, name: str, holder: str) -> bool:
        """Whether the key is this holder's now. May be asked twice, as by a client that repeats what was cut off."""
        return bool(self._redis.eval(_TAKE_OR_RENEW, 1, name, holder, int(self._lease_s * 1000)))
