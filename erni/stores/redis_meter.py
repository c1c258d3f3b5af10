"""Counters and histograms that add up over all processes and hosts, as hashes in Redis.

Each observation is one pipelined round trip of additions, so that any number of writers may add at once.
Losing Redis loses counts, never work: nothing here raises to the one who counts.
"""

from __future__ import annotations

import time
from bisect import bisect_left
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Final, cast

import structlog
from redis import Redis
from redis.exceptions import RedisError

from erni import redis_keys
from erni.ports import CacheLookup

log = structlog.get_logger(__name__)

STAGE_BOUNDS_S: Final = (0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0, 1800.0)
REQUEST_BOUNDS_S: Final = (0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0, 30.0)
REAL_TIME_FACTOR_BOUNDS: Final = (0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0)

REST_S: Final = 5.0
"""Pause of counting after Redis failed: a dead Redis must not slow every request by its timeout."""

_SEPARATOR: Final = "|"
_SUM: Final = "sum"


@dataclass(frozen=True, slots=True)
class Histogram:
    """Observations under one set of labels. ``buckets`` are (bound, observations up to it), ``+Inf`` last."""

    labels: tuple[str, ...]
    buckets: tuple[tuple[str, float], ...]
    total: float


@dataclass(frozen=True, slots=True)
class CacheSums:
    """Looks into the stage cache so far and what the hits spared, each by stage."""

    hits: Mapping[str, float]
    misses: Mapping[str, float]
    size_bytes: Mapping[str, float]
    saved_s: Mapping[str, float]
    saved_usd: Mapping[str, float]


@dataclass(frozen=True, slots=True)
class StageMeterSnapshot:
    """What was counted so far. ``stages`` and ``cache`` are labelled by stage, all else by the jobs' final status."""

    stages: Sequence[Histogram]
    real_time_factors: Sequence[Histogram]
    audio_s: Mapping[str, float]
    processing_s: Mapping[str, float]
    cache: CacheSums


class RedisStageMeter:
    """The ``StageMeter`` port over Redis."""

    def __init__(self, redis: Redis) -> None:
        self._sums = _RedisSums(redis)

    def observe_stage(self, stage: str, elapsed_s: float) -> None:
        self._sums.add(redis_keys.STAGE_SECONDS, _additions((stage,), elapsed_s, STAGE_BOUNDS_S))

    def observe_job(self, status: str, audio_s: float, elapsed_s: float) -> None:
        self._sums.add(
            redis_keys.JOB_SECONDS,
            {_field("audio", status): audio_s, _field("processing", status): elapsed_s},
        )
        if audio_s > 0:
            factor = elapsed_s / audio_s
            self._sums.add(redis_keys.REAL_TIME_FACTOR, _additions((status,), factor, REAL_TIME_FACTOR_BOUNDS))

    def observe_cache(self, lookup: CacheLookup) -> None:
        counts = {"misses": 1.0}
        if (savings := lookup.savings) is not None:
            counts = {
                "hits": 1.0,
                "bytes": float(lookup.size_bytes),
                "saved_s": savings.engine_s,
                "saved_usd": savings.usd,
            }
        additions = {_field(name, lookup.stage): amount for name, amount in counts.items()}
        self._sums.add(redis_keys.CACHE_SUMS, additions)

    def snapshot(self) -> StageMeterSnapshot:
        """Raises RedisError."""
        job_seconds = self._sums.read(redis_keys.JOB_SECONDS)
        cache = self._sums.read(redis_keys.CACHE_SUMS)
        return StageMeterSnapshot(
            stages=_histograms(self._sums.read(redis_keys.STAGE_SECONDS)),
            real_time_factors=_histograms(self._sums.read(redis_keys.REAL_TIME_FACTOR)),
            audio_s=_labelled(job_seconds, "audio"),
            processing_s=_labelled(job_seconds, "processing"),
            cache=CacheSums(
                hits=_labelled(cache, "hits"),
                misses=_labelled(cache, "misses"),
                size_bytes=_labelled(cache, "bytes"),
                saved_s=_labelled(cache, "saved_s"),
                saved_usd=_labelled(cache, "saved_usd"),
            ),
        )


class RedisRequestMeter:
    """Seconds of REST requests, by route template, method and HTTP status."""

    def __init__(self, redis: Redis) -> None:
        self._sums = _RedisSums(redis)

    def observe_request(self, labels: tuple[str, str, str], elapsed_s: float) -> None:
        """``labels`` are route template, method, status. Never raises."""
        self._sums.add(redis_keys.REQUEST_SECONDS, _additions(labels, elapsed_s, REQUEST_BOUNDS_S))

    def snapshot(self) -> Sequence[Histogram]:
        """Raises RedisError."""
        return _histograms(self._sums.read(redis_keys.REQUEST_SECONDS))


class _RedisSums:
    """Hashes of sums. Additions are given up on, with one warning per outage, while Redis is away."""

    def __init__(self, redis: Redis) -> None:
        self._redis = redis
        self._resting_until = 0.0
        self._is_out = False

    def add(self, key: str, additions: Mapping[str, float]) -> None:
        if time.monotonic() < self._resting_until:
            return
        try:
            with self._redis.pipeline(transaction=False) as pipeline:
                for field, amount in additions.items():
                    pipeline.hincrbyfloat(key, field, amount)
                pipeline.execute()
        except RedisError:
            self._resting_until = time.monotonic() + REST_S
            if not self._is_out:
                log.warning("counts_lost", key=key)
            self._is_out = True
        else:
            self._is_out = False

    def read(self, key: str) -> dict[str, float]:
        stored = cast("dict[bytes | str, bytes]", self._redis.hgetall(key))
        return {
            field.decode() if isinstance(field, bytes) else field: float(amount) for field, amount in stored.items()
        }


def _field(*parts: str) -> str:
    return _SEPARATOR.join(parts)


def _additions(labels: tuple[str, ...], value: float, bounds: Sequence[float]) -> dict[str, float]:
    """One observation: 1 more in the bucket whose bound is the least one not below ``value``, and the sum."""
    index = bisect_left(bounds, value)
    bound = str(bounds[index]) if index < len(bounds) else "+Inf"
    return {_field(*labels, bound): 1.0, _field(*labels, _SUM): value}


def _histograms(stored: Mapping[str, float]) -> list[Histogram]:
    """The stored buckets count each observation once; Prometheus wants them cumulative."""
    by_labels: dict[tuple[str, ...], dict[str, float]] = {}
    for field, amount in stored.items():
        *labels, bound = field.split(_SEPARATOR)
        by_labels.setdefault(tuple(labels), {})[bound] = amount
    return [_histogram(labels, counts) for labels, counts in sorted(by_labels.items())]


def _histogram(labels: tuple[str, ...], counts: dict[str, float]) -> Histogram:
    total = counts.pop(_SUM, 0.0)
    counts.setdefault("+Inf", 0.0)
    bounds = sorted(counts, key=float)
    return Histogram(labels, tuple(zip(bounds, accumulate(counts[bound] for bound in bounds), strict=True)), total)


def _labelled(stored: Mapping[str, float], name: str) -> dict[str, float]:
    prefix = _field(name, "")
    return {field.removeprefix(prefix): amount for field, amount in stored.items() if field.startswith(prefix)}
