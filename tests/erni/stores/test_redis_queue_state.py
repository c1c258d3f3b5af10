"""Real messages of Erni's own sender; a channel of kombu takes and holds them, as it does in a worker."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import pytest
from celery import Celery
from celery.utils.nodenames import worker_direct
from redis import Redis

from config.queue import (
    DIARIZE,
    LONG,
    MEDIA,
    QUEUE_OF_KIND,
    QUEUES,
    TRANSCRIBE,
    TRANSCRIBE_CHUNK,
    CeleryJobQueue,
    make_celery,
)
from config.settings import RedisSettings, Settings
from erni.errors import QueueUnavailable
from erni.jobs import Piece, StepKind
from erni.ports import FanOut, Lane
from erni.redis_keys import worker_beacon
from erni.stores.redis_beacons import RedisBeacons
from erni.stores.redis_queue_state import RedisQueueState

FIRST, SECOND = "a" * 32, "b" * 32


def lanes(count: int) -> tuple[Lane, ...]:
    return tuple(Lane(StepKind.TRANSCRIBE, chunk) for chunk in range(count))


@pytest.fixture
def redis(redis_url: str) -> Iterator[Redis]:
    with Redis.from_url(redis_url) as client:
        yield client


@pytest.fixture
def state(redis: Redis) -> RedisQueueState:
    return RedisQueueState(redis, QUEUES, queue_of_kind=QUEUE_OF_KIND)


@pytest.fixture
def celery_app(redis_url: str) -> Iterator[Celery]:
    app = make_celery(Settings(redis=RedisSettings.model_validate({"url": redis_url})))
    # Results elsewhere: their sender would stay subscribed to those of a chord's members.
    app.conf.update(result_backend="cache+memory://")
    yield app
    app.close()


@pytest.fixture
def sender(celery_app: Celery) -> CeleryJobQueue:
    return CeleryJobQueue(celery_app)


@pytest.fixture
def broker(celery_app: Celery) -> Iterator[Any]:
    """A channel as a worker has one; what it takes stays unacknowledged until the channel closes."""
    with celery_app.connection_for_read() as connection:
        channel = connection.channel()
        yield channel
        channel.close()


def by_name(state: RedisQueueState) -> dict[str, tuple[int, int]]:
    return {queue.name: (queue.waiting, queue.held) for queue in state.read()}


def test_empty_broker_has_empty_queues(state: RedisQueueState) -> None:
    assert set(by_name(state).values()) == {(0, 0)}
    assert list(by_name(state)) == list(QUEUES)
    assert {queue.oldest_age_s for queue in state.read()} == {None}
    assert state.jobs_in_queue() == set()


def test_waiting_messages_are_counted_and_the_oldest_one_tells_its_age(sender: CeleryJobQueue, redis: Redis) -> None:
    sender.send_prepare(FIRST)
    time.sleep(0.3)
    sender.send_prepare(SECOND)
    sent_at = time.time()
    read = RedisQueueState(redis, [MEDIA, TRANSCRIBE], clock=lambda: sent_at + 60).read()
    media, transcribe = read
    assert (media.waiting, media.held) == (2, 0)
    assert media.oldest_age_s is not None
    assert 60.3 <= media.oldest_age_s < 70
    assert transcribe.oldest_age_s is None


def test_taken_message_is_held_under_its_queue_and_its_job_stays_known(
    sender: CeleryJobQueue, state: RedisQueueState, broker: Any
) -> None:
    sender.send_prepare(FIRST)
    sender.send_finish(SECOND)
    assert broker.basic_get(MEDIA) is not None
    assert by_name(state)[MEDIA] == (0, 1)
    assert state.jobs_in_queue() == {FIRST, SECOND}


def test_acknowledged_message_is_forgotten(sender: CeleryJobQueue, state: RedisQueueState, broker: Any) -> None:
    sender.send_prepare(FIRST)
    message = broker.basic_get(MEDIA)
    broker.basic_ack(message.delivery_tag)
    assert by_name(state)[MEDIA] == (0, 0)
    assert state.jobs_in_queue() == set()


def test_every_piece_of_a_fan_out_names_its_job(sender: CeleryJobQueue, state: RedisQueueState) -> None:
    sender.send_fan_out(FIRST, FanOut(lanes(3), (Piece(StepKind.DIARIZE),)))
    assert by_name(state)[TRANSCRIBE] == (3, 0)
    assert by_name(state)[DIARIZE] == (1, 0)
    assert state.jobs_in_queue() == {FIRST}


def test_long_work_is_counted_in_its_own_queue(sender: CeleryJobQueue, state: RedisQueueState, broker: Any) -> None:
    sender.send_prepare(FIRST, is_long=True)
    sender.send_fan_out(SECOND, FanOut(lanes(1), (Piece(StepKind.DIARIZE),), is_long=True))
    assert by_name(state)[LONG] == (2, 0)
    assert by_name(state)[DIARIZE] == by_name(state)[MEDIA] == (0, 0)
    assert broker.basic_get(LONG) is not None
    assert by_name(state)[LONG] == (1, 1)
    assert state.jobs_in_queue() == {FIRST, SECOND}


def test_job_that_waits_for_its_next_attempt_is_known(celery_app: Celery, state: RedisQueueState, broker: Any) -> None:
    chunk = celery_app.signature(TRANSCRIBE_CHUNK, args=(FIRST, 0, 1), immutable=True)
    chunk.apply_async(countdown=60, ignore_result=True)
    assert state.jobs_in_queue() == {FIRST}
    assert broker.basic_get(TRANSCRIBE) is not None  # a worker takes it at once and holds it until its time
    assert by_name(state)[TRANSCRIBE] == (0, 1)
    assert state.jobs_in_queue() == {FIRST}


def test_job_whose_message_is_handed_back_while_the_broker_is_read_is_known(
    sender: CeleryJobQueue, redis_url: str, broker: Any
) -> None:
    sender.send_prepare(FIRST)
    held = [broker.basic_get(MEDIA)]

    class HandedBackMeanwhile(Redis):
        def lrange(self, *arguments: Any) -> Any:
            found = super().lrange(*arguments)
            if arguments[0] == QUEUES[-1]:
                while held:
                    broker.basic_reject(held.pop().delivery_tag, requeue=True)
            return found

    with HandedBackMeanwhile.from_url(redis_url) as client:
        assert RedisQueueState(client, QUEUES).jobs_in_queue() == {FIRST}
    assert held == []


def test_probe_of_a_workers_own_queue_disturbs_nothing(
    celery_app: Celery, sender: CeleryJobQueue, state: RedisQueueState, broker: Any
) -> None:
    own_queue = worker_direct("one@here")
    sender.send_prepare(FIRST)
    for _ in range(2):
        celery_app.signature("erni.probe", immutable=True).apply_async(queue=own_queue, ignore_result=True)
    before = state.read()
    assert broker.basic_get(own_queue.name) is not None
    after = state.read()
    assert [(queue.waiting, queue.held) for queue in before] == [(queue.waiting, queue.held) for queue in after]
    assert by_name(state)[MEDIA] == (1, 0)
    assert state.jobs_in_queue() == {FIRST}


def test_jobs_beyond_one_window_are_found(sender: CeleryJobQueue, redis: Redis, state: RedisQueueState) -> None:
    sender.send_prepare(FIRST)
    message = redis.lindex(MEDIA, 0)
    assert isinstance(message, bytes)
    redis.lpush(MEDIA, *(message.replace(FIRST.encode(), b"%032x" % number) for number in range(1200)))
    started = time.perf_counter()
    assert len(state.jobs_in_queue()) == 1201
    assert time.perf_counter() - started < 1.0


def test_foreign_messages_are_counted_but_name_no_job(redis: Redis, state: RedisQueueState) -> None:
    redis.lpush(MEDIA, "not json", '"text"', '{"headers": null}', '{"headers": {"job_id": 7}}')
    redis.hset("unacked", mapping={"1": "not json", "2": "[]", "3": '[{"headers": {}}, "", 5]'})
    assert by_name(state)[MEDIA] == (4, 0)
    assert state.jobs_in_queue() == set()
    assert state.read()[0].oldest_age_s is None


def announce(
    redis: Redis, node: str, *queues: str, is_ready: bool = True, processes: int = 1, lives_ms: int = 60_000
) -> None:
    beacon = {"queues": queues, "ready": is_ready, "processes": processes}
    RedisBeacons(redis).announce(node, beacon, lives_s=lives_ms / 1000)


def test_queue_is_served_by_a_ready_worker_only(redis: Redis, state: RedisQueueState) -> None:
    announce(redis, "one", MEDIA)
    announce(redis, "two", TRANSCRIBE, is_ready=False)
    assert state.served_queues() == {MEDIA}


def test_beacon_that_expired_serves_nothing(redis: Redis, state: RedisQueueState) -> None:
    announce(redis, "one", MEDIA, TRANSCRIBE, lives_ms=20)
    time.sleep(0.05)
    assert state.served_queues() == set()
    assert state.count_processes(StepKind.TRANSCRIBE) == 0
    assert redis.keys() == []  # nor is its name kept


def test_transcribers_are_the_processes_of_ready_workers_that_take_chunks(redis: Redis, state: RedisQueueState) -> None:
    assert state.count_processes(StepKind.TRANSCRIBE) == 0
    announce(redis, "one", TRANSCRIBE, processes=3)
    announce(redis, "two", MEDIA, TRANSCRIBE, processes=2)
    announce(redis, "loading", TRANSCRIBE, is_ready=False, processes=8)
    announce(redis, "other", MEDIA, processes=16)
    assert state.count_processes(StepKind.TRANSCRIBE) == 5


def test_beacon_that_cannot_be_read_counts_nothing(redis: Redis, state: RedisQueueState) -> None:
    for node, beacon in enumerate(("not json", "[]", '{"ready": true}', '{"queues": 7, "ready": true}')):
        announce(redis, str(node), TRANSCRIBE)
        redis.set(worker_beacon(str(node)), beacon)
    announce(redis, "one", TRANSCRIBE)
    assert state.count_processes(StepKind.TRANSCRIBE) == 1
    assert state.served_queues() == {TRANSCRIBE}


def test_absent_broker_is_told_as_such() -> None:
    with Redis.from_url("redis://127.0.0.1:1") as absent:
        state = RedisQueueState(absent, QUEUES, queue_of_kind=QUEUE_OF_KIND)
        for look in (state.read, state.jobs_in_queue, state.served_queues):
            with pytest.raises(QueueUnavailable):
                look()
        assert state.count_processes(StepKind.TRANSCRIBE) == 0
