"""The chunks of a job that wait for a lane, in Redis. Losing them costs time: the sweeper finds what was not done."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Final, cast

from redis import Redis
from redis.exceptions import RedisError

from erni import redis_keys
from erni.errors import QueueUnavailable
from erni.jobs import StepKind

LIFE_S: Final = 7 * 24 * 3600
"""Above the longest job, for lists whose lanes never came back for them."""


class RedisWaitingChunks:
    """WaitingChunks over a list per job and kind of work."""

    def __init__(self, redis: Redis) -> None:
        self._redis = redis

    def put(self, job_id: str, kind: StepKind, chunks: Sequence[int]) -> None:
        key = redis_keys.waiting_chunks(job_id, kind)
        with _redis_errors(), self._redis.pipeline(transaction=True) as pipeline:
            pipeline.delete(key)
            if chunks:
                pipeline.rpush(key, *chunks)
                pipeline.expire(key, LIFE_S)
            pipeline.execute()

    def take(self, job_id: str, kind: StepKind) -> int | None:
        with _redis_errors():
            taken = cast("bytes | None", self._redis.lpop(redis_keys.waiting_chunks(job_id, kind)))
        return None if taken is None else int(taken)


@contextmanager
def _redis_errors() -> Iterator[None]:
    try:
        yield
    except RedisError as error:
        raise QueueUnavailable("Redis does not say which chunk is next.") from error
