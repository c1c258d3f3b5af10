"""Chunks that wait for a lane: each is given out once, in order, to whoever asks."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest
from redis import Redis

from erni.errors import QueueUnavailable
from erni.jobs import StepKind
from erni.stores.redis_waiting_chunks import RedisWaitingChunks

JOB = "a" * 32
KIND = StepKind.TRANSCRIBE


@pytest.fixture
def waiting(redis_client: Redis) -> RedisWaitingChunks:
    return RedisWaitingChunks(redis_client)


def test_chunks_are_given_out_in_order_until_none_is_left(waiting: RedisWaitingChunks) -> None:
    waiting.put(JOB, KIND, [7, 2, 5])
    assert [waiting.take(JOB, KIND) for _ in range(4)] == [7, 2, 5, None]


def test_jobs_and_kinds_of_work_have_lists_of_their_own(waiting: RedisWaitingChunks) -> None:
    waiting.put(JOB, KIND, [1])
    assert waiting.take(JOB, StepKind.EMBED) is None
    assert waiting.take("b" * 32, KIND) is None
    assert waiting.take(JOB, KIND) == 1


def test_what_is_put_replaces_what_waited(waiting: RedisWaitingChunks) -> None:
    waiting.put(JOB, KIND, [1, 2])
    waiting.put(JOB, KIND, [3])
    assert [waiting.take(JOB, KIND) for _ in range(2)] == [3, None]
    waiting.put(JOB, KIND, [4])
    waiting.put(JOB, KIND, [])
    assert waiting.take(JOB, KIND) is None


def test_no_chunk_is_given_out_twice(waiting: RedisWaitingChunks) -> None:
    waiting.put(JOB, KIND, range(500))
    with ThreadPoolExecutor(8) as pool:
        taken = list(pool.map(lambda _: waiting.take(JOB, KIND), range(520)))
    assert sorted(chunk for chunk in taken if chunk is not None) == list(range(500))


def test_a_list_nobody_comes_back_for_does_not_stay(waiting: RedisWaitingChunks, redis_client: Redis) -> None:
    waiting.put(JOB, KIND, [1])
    (key,) = redis_client.keys("erni:waiting-chunks:*")
    assert 0 < redis_client.ttl(key) <= 7 * 24 * 3600


def test_an_absent_redis_is_told_as_such() -> None:
    with Redis.from_url("redis://127.0.0.1:1") as absent:
        waiting = RedisWaitingChunks(absent)
        with pytest.raises(QueueUnavailable):
            waiting.take(JOB, KIND)
        with pytest.raises(QueueUnavailable):
            waiting.put(JOB, KIND, [1])
