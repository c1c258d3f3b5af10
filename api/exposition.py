"""Metrics in Prometheus's terms, read from the stores all processes share at the moment they are asked for.

Nothing is counted in this process's memory, so every API process on every host shows the same figures.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence

import structlog
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector
from redis.exceptions import RedisError

from api.runtime import Runtime
from erni.errors import QueueUnavailable, StorageError
from erni.jobs import JobStatus
from erni.services import Services
from erni.steps.awaiting import provider_of
from erni.steps.probing import remote_terms
from erni.stores.redis_meter import CacheSums, Histogram, RedisRequestMeter, RedisStageMeter
from erni.stores.redis_queue_state import RedisQueueState

log = structlog.get_logger(__name__)


class StoreCollector(Collector):
    """Collects from records and Redis; a store that is away is told by ``erni_store_up`` and left out."""

    def __init__(self, runtime: Runtime) -> None:
        self._services = runtime.services
        self._jobs = runtime.services.jobs
        self._queue_state = RedisQueueState(runtime.redis, runtime.queues)
        self._stage_meter = RedisStageMeter(runtime.redis)
        self._request_meter = RedisRequestMeter(runtime.redis)

    def collect(self) -> Iterable[Metric]:
        up = GaugeMetricFamily("erni_store_up", "1 where the store could be read.", labels=["store"])
        yield _retirement_family(self._services)
        for store, read in (("records", self._read_records), ("redis", self._read_redis)):
            families = _read_or_nothing(store, read)
            up.add_metric([store], float(families is not None))
            yield from families or ()
        yield up

    def _read_records(self) -> Sequence[Metric]:
        counts = self._jobs.count_by_status()
        jobs = GaugeMetricFamily("erni_jobs", "Jobs on record, by status.", labels=["status"])
        for status in JobStatus:
            jobs.add_metric([status.value], counts.get(status, 0))
        return [jobs]

    def _read_redis(self) -> Sequence[Metric]:
        return [
            *self._queue_families(),
            *self._work_families(),
            *self._request_families(),
            *_engine_families(self._services),
        ]

    def _queue_families(self) -> Sequence[Metric]:
        waiting = GaugeMetricFamily("erni_queue_waiting", "Messages no worker has taken yet.", labels=["queue"])
        held = GaugeMetricFamily(
            "erni_queue_held", "Messages a worker took and has not acknowledged.", labels=["queue"]
        )
        oldest = GaugeMetricFamily(
            "erni_queue_oldest_age_seconds",
            "Age of the oldest waiting message, 0 when none waits.",
            labels=["queue"],
        )
        for queue in self._queue_state.read():
            waiting.add_metric([queue.name], queue.waiting)
            held.add_metric([queue.name], queue.held)
            oldest.add_metric([queue.name], queue.oldest_age_s or 0.0)
        return [waiting, held, oldest]

    def _work_families(self) -> Sequence[Metric]:
        counts = self._stage_meter.snapshot()
        return [
            _counter("erni_audio_seconds", "Audio of finished jobs.", "status", counts.audio_s),
            _counter(
                "erni_processing_seconds",
                "Time from acceptance to end of finished jobs.",
                "status",
                counts.processing_s,
            ),
            _family("erni_stage_seconds", "Duration of a stage's runs.", ["stage"], counts.stages),
            _family(
                "erni_real_time_factor",
                "Processing seconds per second of audio of finished jobs.",
                ["status"],
                counts.real_time_factors,
            ),
            *_cache_families(counts.cache),
        ]

    def _request_families(self) -> Sequence[Metric]:
        labels = ["route", "method", "status"]
        description = "Duration of REST requests; its count is the number of requests."
        return [_family("erni_http_request_seconds", description, labels, self._request_meter.snapshot())]


def _read_or_nothing(store: str, read: Callable[[], Sequence[Metric]]) -> Sequence[Metric] | None:
    try:
        return read()
    except (StorageError, QueueUnavailable, RedisError) as error:
        log.warning("metrics_store_unreachable", store=store, error=type(error).__name__)
        return None


def _cache_families(sums: CacheSums) -> Sequence[Metric]:
    lookups = CounterMetricFamily("erni_cache_lookups", "Looks into the stage cache.", labels=["stage", "outcome"])
    for stage in sorted({*sums.hits, *sums.misses}):
        lookups.add_metric([stage, "hit"], sums.hits.get(stage, 0.0))
        lookups.add_metric([stage, "miss"], sums.misses.get(stage, 0.0))
    return [
        lookups,
        _counter("erni_cache_hit_bytes", "Size of the results found.", "stage", sums.size_bytes),
        _counter("erni_cache_saved_seconds", "Engine time spared by hits.", "stage", sums.saved_s),
        _counter("erni_cache_saved_usd", "Money spared by hits, in US dollars.", "stage", sums.saved_usd),
    ]


def _retirement_family(services: Services) -> Metric:
    today = services.clock().date()
    left = GaugeMetricFamily(
        "erni_engine_retires_in_days",
        "Days until an engine's vendor ends it, of those with a date; negative afterwards.",
        labels=["engine"],
    )
    for engine, terms in remote_terms(services).items():
        if terms.retires_on is not None:
            left.add_metric([engine], (terms.retires_on - today).days)
    return left


def _engine_families(services: Services) -> Sequence[Metric]:
    """How vendors and the gates to their engines stand. Raises QueueUnavailable."""
    up = GaugeMetricFamily("erni_engine_up", "1 where the last probe of the vendor succeeded.", labels=["provider"])
    seconds = GaugeMetricFamily(
        "erni_engine_probe_seconds", "How long the last probe of the vendor took.", labels=["provider"]
    )
    is_open = GaugeMetricFamily(
        "erni_engine_breaker_open", "1 while an engine is left alone after failures.", labels=["engine"]
    )
    in_flight = GaugeMetricFamily("erni_engine_in_flight", "Calls under way on its account.", labels=["engine"])
    waiting = GaugeMetricFamily("erni_engine_waiting", "Calls that wait for its account.", labels=["engine"])
    terms = remote_terms(services)
    for provider, probe in services.probes.last(sorted({provider_of(engine) for engine in terms})).items():
        up.add_metric([provider], float(probe.is_ok))
        seconds.add_metric([provider], probe.latency_s)
    for engine, gate in services.gates.states(terms).items():
        is_open.add_metric([engine], float(gate.breaker != "closed"))
        in_flight.add_metric([engine], gate.in_flight)
        waiting.add_metric([engine], gate.waiting)
    return [up, seconds, is_open, in_flight, waiting]


def _counter(name: str, description: str, label: str, amounts: Mapping[str, float]) -> Metric:
    counter = CounterMetricFamily(name, description, labels=[label])
    for value, amount in amounts.items():
        counter.add_metric([value], amount)
    return counter


def _family(name: str, description: str, labels: list[str], histograms: Sequence[Histogram]) -> Metric:
    family = HistogramMetricFamily(name, description, labels=labels)
    for histogram in histograms:
        family.add_metric(list(histogram.labels), list(histogram.buckets), histogram.total)
    return family
