"""What workers say of themselves, and how they are forgotten."""

from __future__ import annotations

import time

from redis import Redis

from erni.redis_keys import WORKERS
from erni.stores.redis_beacons import RedisBeacons

BEACON = {"queues": ["media"], "ready": True, "processes": 2}


def test_a_living_worker_is_found_among_many_other_keys(redis_client: Redis) -> None:
    redis_client.mset({f"erni:cache:{number}": b"" for number in range(1000)})
    beacons = RedisBeacons(redis_client)
    beacons.announce("one@host", BEACON, lives_s=60.0)
    assert beacons.living() == [BEACON]


def test_a_worker_that_fell_silent_is_forgotten_and_may_come_back(redis_client: Redis) -> None:
    beacons = RedisBeacons(redis_client)
    beacons.announce("one@host", BEACON, lives_s=0.02)
    beacons.announce("two@host", {**BEACON, "ready": False}, lives_s=60.0)
    time.sleep(0.05)
    assert beacons.living() == [{**BEACON, "ready": False}]
    assert redis_client.smembers(WORKERS) == {b"two@host"}
    beacons.announce("one@host", BEACON, lives_s=60.0)
    assert len(beacons.living()) == 2


def test_a_flushed_redis_knows_nobody(redis_client: Redis) -> None:
    beacons = RedisBeacons(redis_client)
    beacons.announce("one@host", BEACON, lives_s=60.0)
    redis_client.flushdb()
    assert beacons.living() == []
