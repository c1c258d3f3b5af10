from __future__ import annotations

import signal
import subprocess
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest
from redis import Redis
from structlog.testing import capture_logs

from erni import redis_keys
from erni.errors import QueueUnavailable
from erni.stores.redis_cache import RedisStageCache

JOB, OTHER_JOB = "a" * 32, "b" * 32
CONTENT = b'{"words": ["said", "again"]}' * 200


def open_cache(client: Redis, max_entry_bytes: int = 10_000) -> RedisStageCache:
    return RedisStageCache(client, max_entry_bytes=max_entry_bytes, longest_ttl_s=1000.0)


@pytest.fixture
def cache(redis_client: Redis) -> RedisStageCache:
    return open_cache(redis_client)


def test_value_comes_back_as_it_was_put_and_lies_there_compressed(cache: RedisStageCache, redis_client: Redis) -> None:
    assert cache.get("key", job_id=JOB) is None
    assert not cache.has("key")
    cache.put("key", CONTENT, ttl_s=60.0, job_id=JOB)
    assert cache.has("key")
    assert cache.get("key", job_id=JOB) == CONTENT
    stored = redis_client.get(redis_keys.cache_entry("key"))
    assert isinstance(stored, bytes)
    assert len(stored) < len(CONTENT) / 10


def test_empty_value_is_a_value(cache: RedisStageCache) -> None:
    cache.put("key", b"", ttl_s=60.0, job_id=JOB)
    assert cache.get("key", job_id=JOB) == b""


def test_entry_and_its_jobs_set_end_by_themselves(cache: RedisStageCache, redis_client: Redis) -> None:
    cache.put("short", CONTENT, ttl_s=0.05, job_id=JOB)
    cache.put("long", CONTENT, ttl_s=60.5, job_id=JOB)
    assert 60_000 < int(redis_client.pttl(redis_keys.cache_entry("long"))) <= 60_500
    assert 999_000 < int(redis_client.pttl(redis_keys.job_entries(JOB))) <= 1_000_000
    time.sleep(0.1)
    assert cache.get("short", job_id=JOB) is None
    assert cache.get("long", job_id=JOB) == CONTENT


def test_value_put_again_lives_anew(cache: RedisStageCache) -> None:
    cache.put("key", b"old", ttl_s=0.05, job_id=JOB)
    cache.put("key", b"new", ttl_s=60.0, job_id=OTHER_JOB)
    time.sleep(0.1)
    assert cache.get("key", job_id=JOB) == b"new"


def test_what_is_too_large_even_compressed_is_not_kept(redis_client: Redis) -> None:
    cache = open_cache(redis_client, max_entry_bytes=100)
    noise = bytes(range(256))
    cache.put("large", noise, ttl_s=60.0, job_id=JOB)
    cache.put("compressible", b"a" * 5000, ttl_s=60.0, job_id=JOB)
    assert not cache.has("large")
    assert cache.has("compressible")
    assert redis_client.smembers(redis_keys.job_entries(JOB)) == {b"compressible"}


@pytest.mark.parametrize("damage", [b"", b"not compressed", "cut"])
def test_damaged_entry_counts_as_absent_until_it_is_put_again(
    cache: RedisStageCache, redis_client: Redis, damage: bytes | str
) -> None:
    cache.put("key", CONTENT, ttl_s=60.0, job_id=JOB)
    entry = redis_keys.cache_entry("key")
    stored = redis_client.get(entry)
    assert isinstance(stored, bytes)
    redis_client.set(entry, stored[:-7] if isinstance(damage, str) else damage)
    with capture_logs() as events:
        assert cache.get("key", job_id=JOB) is None
    assert [event["event"] for event in events] == ["cache_entry_damaged"]
    cache.put("key", CONTENT, ttl_s=60.0, job_id=JOB)
    assert cache.get("key", job_id=JOB) == CONTENT


def test_job_takes_what_it_put_or_got_with_it_and_nothing_else(cache: RedisStageCache, redis_client: Redis) -> None:
    cache.put("first", CONTENT, ttl_s=60.0, job_id=JOB)
    cache.put("second", CONTENT, ttl_s=60.0, job_id=JOB)
    cache.put("shared", CONTENT, ttl_s=60.0, job_id=OTHER_JOB)
    cache.put("other", CONTENT, ttl_s=60.0, job_id=OTHER_JOB)
    cache.get("shared", job_id=JOB)
    cache.get("absent", job_id=JOB)
    assert cache.delete_job(JOB) == 3
    assert [key for key in ("first", "second", "shared", "other") if cache.has(key)] == ["other"]
    assert not redis_client.exists(redis_keys.job_entries(JOB))
    assert cache.delete_job(JOB) == 0
    assert cache.delete_job(OTHER_JOB) == 1
    assert redis_client.keys() == []


def test_entry_is_dropped_only_while_it_is_the_one_that_is_meant(cache: RedisStageCache) -> None:
    cache.put("key", b"first", ttl_s=60.0, job_id="job")
    cache.put("key", b"second", ttl_s=60.0, job_id="other")
    cache.drop("key", b"first")
    assert cache.get("key", job_id="job") == b"second"
    cache.drop("key", b"second")
    assert not cache.has("key")
    cache.drop("key", b"second")


def test_entry_put_while_another_one_is_dropped_stays(cache: RedisStageCache) -> None:
    """Of each pair the second one is put while the first one may be being dropped; it is always there afterwards."""
    with ThreadPoolExecutor(2) as pool:
        for number in range(200):
            cache.put("key", b"old", ttl_s=60.0, job_id="job")
            dropped = pool.submit(cache.drop, "key", b"old")
            put = pool.submit(cache.put, "key", b"new %d" % number, ttl_s=60.0, job_id="job")
            dropped.result()
            put.result()
            assert cache.get("key", job_id="job") == b"new %d" % number


def test_entry_that_ended_by_itself_is_not_told_as_removed(cache: RedisStageCache) -> None:
    cache.put("gone", CONTENT, ttl_s=0.01, job_id=JOB)
    cache.put("there", CONTENT, ttl_s=60.0, job_id=JOB)
    time.sleep(0.05)
    assert cache.delete_job(JOB) == 1


def test_entry_of_a_worker_that_is_late_is_found_by_a_second_deletion(cache: RedisStageCache) -> None:
    cache.put("early", CONTENT, ttl_s=60.0, job_id=JOB)
    cache.delete_job(JOB)
    cache.put("late", CONTENT, ttl_s=60.0, job_id=JOB)
    assert cache.delete_job(JOB) == 1
    assert not cache.has("late")


def test_no_entry_escapes_while_putting_and_deleting_cross(
    redis_url: str, run_together: Callable[..., list[str]]
) -> None:
    run_together(CROSSING, redis_url, processes=2)
    with Redis.from_url(redis_url) as client:
        open_cache(client).delete_job(JOB)
        assert client.keys() == []


CROSSING = f"""
import sys
from redis import Redis
from erni.stores.redis_cache import RedisStageCache
client = Redis.from_url(sys.argv[1])
cache = RedisStageCache(client, max_entry_bytes=1000, longest_ttl_s=1000.0)
print("ready", flush=True)
input()
for number in range(300):
    cache.put(f"{{number}}", b"content", ttl_s=60.0, job_id="{JOB}")
    cache.delete_job("{JOB}")
client.close()
"""


def test_absent_redis_is_reported_and_stops_only_a_deletion(own_client: Redis) -> None:
    cache = open_cache(own_client)
    with capture_logs() as events:
        cache.put("key", CONTENT, ttl_s=60.0, job_id=JOB)
        assert cache.get("key", job_id=JOB) is None
        assert not cache.has("key")
    assert {event["event"] for event in events} == {"cache_unreachable"}
    with pytest.raises(QueueUnavailable):
        cache.delete_job(JOB)


def test_hung_redis_costs_its_timeout_and_is_used_again_at_once(
    own_client: Redis, start_redis: Callable[[], subprocess.Popen[bytes]]
) -> None:
    server = start_redis()
    cache = open_cache(own_client)
    cache.put("key", CONTENT, ttl_s=60.0, job_id=JOB)
    server.send_signal(signal.SIGSTOP)
    assert cache.get("key", job_id=JOB) is None
    server.send_signal(signal.SIGCONT)
    assert cache.get("key", job_id=JOB) == CONTENT


def test_restarted_redis_is_used_again_at_once(
    own_client: Redis, start_redis: Callable[[], subprocess.Popen[bytes]]
) -> None:
    server = start_redis()
    cache = open_cache(own_client)
    cache.put("key", CONTENT, ttl_s=60.0, job_id=JOB)
    server.kill()
    server.wait(10)
    assert cache.get("key", job_id=JOB) is None
    start_redis()
    cache.put("key", CONTENT, ttl_s=60.0, job_id=JOB)
    assert cache.get("key", job_id=JOB) == CONTENT
