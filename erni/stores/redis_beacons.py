"""The workers' signs of life in Redis: what each says of itself, for as long as it lives.

A set names the workers, because finding their keys among those of a large cache would mean looking at all of them.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any, cast

from redis import Redis

from erni import redis_keys


class RedisBeacons:
    """Beacons by worker. Every method may raise RedisError."""

    def __init__(self, redis: Redis) -> None:
        self._redis = redis

    def announce(self, node: str, beacon: Mapping[str, Any], *, lives_s: float) -> None:
        """Say of a worker ``{"queues": [...], "ready": bool, "processes": int}``; forgotten after ``lives_s``."""
        with self._redis.pipeline(transaction=False) as pipeline:
            pipeline.set(redis_keys.worker_beacon(node), json.dumps(beacon), px=int(lives_s * 1000))
            pipeline.sadd(redis_keys.WORKERS, node)
            pipeline.execute()

    def living(self) -> Sequence[dict[str, Any]]:
        """What every living worker last said. The names of those that are gone are removed."""
        nodes = sorted(name.decode() for name in cast("set[bytes]", self._redis.smembers(redis_keys.WORKERS)))
        if not nodes:
            return []
        contents = self._redis.mget([redis_keys.worker_beacon(node) for node in nodes])
        gone = [node for node, content in zip(nodes, contents, strict=True) if content is None]
        if gone:
            # One that was only late names itself again with its next beat.
            self._redis.srem(redis_keys.WORKERS, *gone)
        return [beacon for beacon in map(_parse, contents) if beacon is not None]


def _parse(content: bytes | str | None) -> dict[str, Any] | None:
    try:
        beacon = json.loads(content or b"null")
    except ValueError:
        return None
    return beacon if isinstance(beacon, dict) else None
