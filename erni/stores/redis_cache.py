"""The stage cache in Redis: compressed values under content keys, and per job the set of the keys it used.

Everything here may be evicted or lost at any moment; whoever asks then does the work again. There is no pause after a
failure: whoever asks holds a flight, so Redis answered him just now, and a look-up left out may be paid for.
"""

from __future__ import annotations

import zlib
from typing import Final, cast

import structlog
from redis import Redis
from redis.client import Pipeline
from redis.exceptions import RedisError

from erni import redis_keys
from erni.errors import QueueUnavailable

log = structlog.get_logger(__name__)

_LEVEL: Final = 6
_DROP: Final = "if redis.call('GET', KEYS[1]) == ARGV[1] then redis.call('UNLINK', KEYS[1]) end"


class RedisStageCache:
    """The ``StageCache`` port. Values larger than ``max_entry_bytes``, compressed, are not kept."""

    def __init__(self, redis: Redis, *, max_entry_bytes: int, longest_ttl_s: float) -> None:
        self._redis = redis
        self._max_entry_bytes = max_entry_bytes
        self._longest_ttl_s = longest_ttl_s

    def get(self, key: str, *, job_id: str) -> bytes | None:
        try:
            stored = cast("bytes | None", self._redis.get(redis_keys.cache_entry(key)))
            if stored is None:
                return None
            content = zlib.decompress(stored)
            with self._redis.pipeline() as transaction:
                self._remember(transaction, key, job_id)
                transaction.execute()
        except zlib.error:
            log.warning("cache_entry_damaged")
            return None
        except RedisError as error:
            _report(error)
            return None
        return content

    def has(self, key: str) -> bool:
        try:
            return bool(self._redis.exists(redis_keys.cache_entry(key)))
        except RedisError as error:
            _report(error)
            return False

    def put(self, key: str, content: bytes, *, ttl_s: float, job_id: str) -> None:
        compressed = zlib.compress(content, _LEVEL)
        if len(compressed) > self._max_entry_bytes:
            return
        try:
            # Together, so that whenever the job is deleted, an entry that is there is found.
            with self._redis.pipeline() as transaction:
                self._remember(transaction, key, job_id)
                transaction.set(redis_keys.cache_entry(key), compressed, px=max(1, int(ttl_s * 1000)))
                transaction.execute()
        except RedisError as error:
            _report(error)

    def drop(self, key: str, content: bytes) -> None:
        """Compared as it was put, because two hosts may compress differently; then once more as it is stored."""
        name = redis_keys.cache_entry(key)
        try:
            stored = cast("bytes | None", self._redis.get(name))
            if stored is not None and zlib.decompress(stored) == content:
                self._redis.eval(_DROP, 1, name, stored)
        except zlib.error:
            log.warning("cache_entry_damaged")
        except RedisError as error:
            _report(error)

    def delete_job(self, job_id: str) -> int:
        index = redis_keys.job_entries(job_id)
        try:
            keys = cast("set[bytes]", self._redis.smembers(index))
            if not keys:
                return 0
            with self._redis.pipeline() as transaction:
                transaction.unlink(*(redis_keys.cache_entry(key.decode()) for key in keys))
                # Not the whole set: a worker that is late may have added to it meanwhile, and is to find that again.
                transaction.srem(index, *keys)
                removed, _ = transaction.execute()
        except RedisError as error:
            raise QueueUnavailable("Redis cannot be reached, so what it keeps of this job stays for now.") from error
        return int(removed)

    def _remember(self, transaction: Pipeline, key: str, job_id: str) -> None:
        index = redis_keys.job_entries(job_id)
        transaction.sadd(index, key)
        transaction.pexpire(index, int(self._longest_ttl_s * 1000))


def _report(error: RedisError) -> None:
    log.warning("cache_unreachable", error=type(error).__name__)
