from __future__ import annotations

import time
from collections.abc import Callable, Iterator

import pytest
from redis import Redis
from redis.exceptions import ConnectionError as RedisConnectionError
from structlog.testing import capture_logs

from erni.jobs import Savings
from erni.ports import CacheLookup
from erni.stores.redis_meter import RedisRequestMeter, RedisStageMeter


@pytest.fixture
def redis(redis_url: str) -> Iterator[Redis]:
    with Redis.from_url(redis_url) as client:
        yield client


@pytest.fixture
def absent_redis() -> Iterator[Redis]:
    with Redis.from_url("redis://127.0.0.1:1") as client:
        yield client


def test_stage_seconds_fall_into_cumulative_buckets(redis: Redis) -> None:
    meter = RedisStageMeter(redis)
    for elapsed_s in (0.01, 0.05, 0.3, 9_999.0):
        meter.observe_stage("prepare", elapsed_s)
    (histogram,) = meter.snapshot().stages
    assert histogram.labels == ("prepare",)
    assert histogram.buckets == (("0.05", 2.0), ("0.5", 3.0), ("+Inf", 4.0))
    assert histogram.total == pytest.approx(9_999.36)


def test_last_bucket_is_infinite_also_when_nothing_fell_into_it(redis: Redis) -> None:
    meter = RedisStageMeter(redis)
    meter.observe_stage("join", 0.01)
    (histogram,) = meter.snapshot().stages
    assert histogram.buckets[-1] == ("+Inf", 1.0)


def test_job_adds_its_seconds_and_its_real_time_factor(redis: Redis) -> None:
    meter = RedisStageMeter(redis)
    meter.observe_job("succeeded", 100.0, 3.0)
    meter.observe_job("succeeded", 50.0, 1.0)
    meter.observe_job("failed", 10.0, 2.0)
    counts = meter.snapshot()
    assert counts.audio_s == {"succeeded": 150.0, "failed": 10.0}
    assert counts.processing_s == {"succeeded": 4.0, "failed": 2.0}
    failed, succeeded = counts.real_time_factors
    assert (failed.labels, failed.total) == (("failed",), 0.2)
    assert succeeded.buckets == (("0.02", 1.0), ("0.05", 2.0), ("+Inf", 2.0))


def test_job_without_audio_has_no_real_time_factor(redis: Redis) -> None:
    meter = RedisStageMeter(redis)
    meter.observe_job("failed", 0.0, 2.0)
    assert meter.snapshot().real_time_factors == []
    assert meter.snapshot().processing_s == {"failed": 2.0}


def test_look_into_the_cache_counts_as_hit_with_its_savings_or_as_miss(redis: Redis) -> None:
    meter = RedisStageMeter(redis)
    meter.observe_cache(CacheLookup("transcribe", size_bytes=800, savings=Savings(engine_s=2.5, usd=0.006)))
    meter.observe_cache(CacheLookup("transcribe", size_bytes=200, savings=Savings(engine_s=1.5)))
    meter.observe_cache(CacheLookup("transcribe"))
    meter.observe_cache(CacheLookup("diarize"))
    sums = meter.snapshot().cache
    assert sums.hits == {"transcribe": 2.0}
    assert sums.misses == {"transcribe": 1.0, "diarize": 1.0}
    assert sums.size_bytes == {"transcribe": 1000.0}
    assert sums.saved_s == {"transcribe": 4.0}
    assert sums.saved_usd == {"transcribe": 0.006}


def test_hit_that_spared_nothing_is_a_hit(redis: Redis) -> None:
    meter = RedisStageMeter(redis)
    meter.observe_cache(CacheLookup("prepare", savings=Savings()))
    assert meter.snapshot().cache.hits == {"prepare": 1.0}
    assert meter.snapshot().cache.misses == {}


def test_reading_works_with_a_client_that_decodes(redis: Redis, redis_url: str) -> None:
    RedisStageMeter(redis).observe_stage("join", 1.0)
    with Redis.from_url(redis_url, decode_responses=True) as decoding:
        assert RedisStageMeter(decoding).snapshot().stages[0].total == 1.0


COUNT_FROM_ELSEWHERE = """
import sys
from redis import Redis
from erni.stores.redis_meter import RedisStageMeter
client = Redis.from_url(sys.argv[1])
meter = RedisStageMeter(client)
print("ready", flush=True)
input()
for _ in range(40):
    meter.observe_stage("join", 0.01)
client.close()
"""


def test_counts_of_two_processes_add_up(redis: Redis, redis_url: str, run_together: Callable[..., list[str]]) -> None:
    run_together(COUNT_FROM_ELSEWHERE, redis_url, processes=2)
    (histogram,) = RedisStageMeter(redis).snapshot().stages
    assert histogram.buckets[-1] == ("+Inf", 80.0)
    assert histogram.total == pytest.approx(0.8)


def test_request_is_counted_in_less_than_a_millisecond(redis: Redis) -> None:
    meter = RedisRequestMeter(redis)
    meter.observe_request(("/livez", "GET", "200"), 0.001)
    started = time.perf_counter()
    for _ in range(200):
        meter.observe_request(("/livez", "GET", "200"), 0.001)
    assert (time.perf_counter() - started) / 200 < 0.001


def test_redis_that_is_away_costs_neither_an_error_nor_a_second_attempt(absent_redis: Redis) -> None:
    meter = RedisStageMeter(absent_redis)
    with capture_logs() as events:
        meter.observe_stage("prepare", 1.0)
        started = time.perf_counter()
        for _ in range(1000):
            meter.observe_job("succeeded", 1.0, 1.0)
            meter.observe_cache(CacheLookup("transcribe"))
    assert time.perf_counter() - started < 0.2
    assert [event["event"] for event in events] == ["counts_lost"]


def test_snapshot_of_an_absent_redis_raises(absent_redis: Redis) -> None:
    with pytest.raises(RedisConnectionError):
        RedisStageMeter(absent_redis).snapshot()
