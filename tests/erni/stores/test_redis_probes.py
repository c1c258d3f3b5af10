from __future__ import annotations

import time
from datetime import UTC, date, datetime

import pytest
from redis import Redis

from erni.errors import QueueUnavailable
from erni.health import ProbeResult
from erni.stores.redis_probes import RedisProbes

NOW = datetime(2026, 11, 23, 9, 30, 0, 250_000, tzinfo=UTC)
WELL = ProbeResult("openai", NOW, 0.25, None, {"whisper-1": date(2027, 2, 26)})
OUT = ProbeResult("pyannote", NOW, 15.0, "engine_unavailable")


def test_last_result_of_each_vendor_is_found_as_it_was_put(redis_client: Redis) -> None:
    probes = RedisProbes(redis_client, lives_s=60.0)
    for result in (ProbeResult("openai", NOW, 1.0, "engine_unavailable"), WELL, OUT):
        probes.put(result)
    assert probes.last(["openai", "pyannote", "replicate"]) == {"openai": WELL, "pyannote": OUT}
    assert probes.last([]) == {}


def test_result_is_forgotten_when_it_is_no_news(redis_client: Redis) -> None:
    probes = RedisProbes(redis_client, lives_s=0.05)
    probes.put(WELL)
    time.sleep(0.1)
    assert probes.last(["openai"]) == {}


def test_losing_redis_costs_a_look_but_never_a_probe(own_client: Redis) -> None:
    probes = RedisProbes(own_client, lives_s=60.0)
    probes.put(WELL)
    with pytest.raises(QueueUnavailable):
        probes.last(["openai"])
