"""What the last probe of each vendor found, for as long as that is news."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import date, datetime
from typing import Any, cast

import structlog
from redis import Redis
from redis.exceptions import RedisError

from erni import redis_keys
from erni.errors import QueueUnavailable
from erni.health import ProbeResult

log = structlog.get_logger(__name__)


class RedisProbes:
    """The ``Probes`` port. A result is forgotten after ``lives_s``."""

    def __init__(self, redis: Redis, *, lives_s: float) -> None:
        self._redis = redis
        self._lives_s = lives_s

    def put(self, result: ProbeResult) -> None:
        try:
            self._redis.set(redis_keys.probe(result.provider), _dump(result), px=round(self._lives_s * 1000))
        except RedisError as error:
            log.warning("probe_not_kept", provider=result.provider, error=type(error).__name__)

    def last(self, providers: Sequence[str]) -> Mapping[str, ProbeResult]:
        if not providers:
            return {}
        try:
            contents = cast("list[bytes | None]", self._redis.mget([redis_keys.probe(name) for name in providers]))
        except RedisError as error:
            raise QueueUnavailable("Redis does not say what the last probes found.") from error
        return {
            name: _parse(name, json.loads(content))
            for name, content in zip(providers, contents, strict=True)
            if content is not None
        }


def _dump(result: ProbeResult) -> str:
    return json.dumps(
        {
            "at": result.at.isoformat(),
            "latency_s": result.latency_s,
            "failure": result.failure,
            "shutdowns": {model: day.isoformat() for model, day in result.shutdowns.items()},
        }
    )


def _parse(provider: str, content: Mapping[str, Any]) -> ProbeResult:
    return ProbeResult(
        provider,
        datetime.fromisoformat(content["at"]),
        content["latency_s"],
        content["failure"],
        {model: date.fromisoformat(day) for model, day in content["shutdowns"].items()},
    )
