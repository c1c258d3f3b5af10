from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from typing import Any, cast

import pytest
from celery import Celery
from redis import Redis

from config.queue import (
    DEFAULT,
    DIARIZE,
    FAIL_JOB,
    HARD_LIMIT_GRACE_S,
    LONG,
    MEDIA,
    PREPARE_JOB,
    STOP_REMOTE_JOB,
    TRANSCRIBE,
    TRANSCRIBE_CHUNK,
    WARN_OF_RETIREMENTS,
    CeleryJobQueue,
    make_celery,
)
from config.settings import QueueSettings, RedisSettings, Settings
from erni.errors import QueueUnavailable
from erni.jobs import Piece, RemoteStop, StepKind
from erni.ports import FanOut, Lane

JOB_ID = "0" * 32


@pytest.fixture
def celery_app(redis_url: str) -> Iterator[Celery]:
    app = make_celery(Settings(redis=RedisSettings.model_validate({"url": redis_url})))
    yield app
    app.close()


def lanes(count: int) -> tuple[Lane, ...]:
    return tuple(Lane(StepKind.TRANSCRIBE, chunk) for chunk in range(count))


def count_subscriptions(redis: Redis) -> int:
    """How many times any client has subscribed to anything since the server started."""
    statistics: Any = redis.info("commandstats")
    return int(statistics.get("cmdstat_subscribe", {"calls": 0})["calls"])


def test_sender_of_a_job_subscribes_to_no_result(celery_app: Celery, redis_client: Redis) -> None:
    """Else a worker that prepares jobs would hold a channel per piece of each, for ever."""
    before = count_subscriptions(redis_client)
    queue = CeleryJobQueue(celery_app)
    queue.send_prepare(JOB_ID)
    queue.send_fan_out(JOB_ID, FanOut(lanes(3), (Piece(StepKind.DIARIZE),)))
    assert (redis_client.llen(MEDIA), redis_client.llen(TRANSCRIBE), redis_client.llen(DIARIZE)) == (1, 3, 1)
    assert count_subscriptions(redis_client) == before


def test_beat_tells_the_log_each_day_which_engines_end_however_often_it_is_restarted(celery_app: Celery) -> None:
    schedule = celery_app.conf.beat_schedule[WARN_OF_RETIREMENTS]["schedule"]
    begin = datetime(2026, 12, 1, 0, 30, tzinfo=UTC)
    told = []
    for hours in range(72):
        now = begin + timedelta(hours=hours)
        schedule.nowfun = lambda now=now: now
        # A beat that was restarted an hour ago and remembers nothing before.
        if schedule.is_due(now - timedelta(hours=1)).is_due:
            told.append(now.date())
    assert told == [date(2026, 12, day) for day in (1, 2, 3)]


def test_long_work_goes_to_its_own_queue(celery_app: Celery, redis_client: Redis) -> None:
    queue = CeleryJobQueue(celery_app)
    queue.send_prepare(JOB_ID, is_long=True)
    queue.send_fan_out(JOB_ID, FanOut(lanes(1), (Piece(StepKind.DIARIZE),), is_long=True))
    assert (redis_client.llen(LONG), redis_client.llen(TRANSCRIBE)) == (2, 1)


def test_voices_are_listened_to_beside_the_transcription(celery_app: Celery, redis_client: Redis) -> None:
    both = (*lanes(2), Lane(StepKind.EMBED, 0))
    CeleryJobQueue(celery_app).send_fan_out(JOB_ID, FanOut(both))
    assert (redis_client.llen(TRANSCRIBE), redis_client.llen(DIARIZE)) == (2, 1)


def test_every_group_of_known_voices_and_a_one_shot_are_pieces_of_their_own(
    celery_app: Celery, redis_client: Redis
) -> None:
    whole = (Piece(StepKind.DIARIZE, 0), Piece(StepKind.DIARIZE, 1), Piece(StepKind.ONE_SHOT))
    CeleryJobQueue(celery_app).send_fan_out(JOB_ID, FanOut((), whole))
    assert redis_client.llen(DIARIZE) == 3


def test_a_long_recording_is_joined_by_the_workers_for_long_work(celery_app: Celery, redis_client: Redis) -> None:
    queue = CeleryJobQueue(celery_app)
    queue.send_finish(JOB_ID)
    queue.send_finish(JOB_ID, is_long=True)
    assert (redis_client.llen(DEFAULT), redis_client.llen(LONG)) == (1, 1)


def test_a_vendors_job_to_stop_is_no_work_on_the_job_it_was_for(celery_app: Celery, redis_client: Redis) -> None:
    asked_at = datetime(2026, 3, 9, 12, tzinfo=UTC)
    stop = RemoteStop("remote-1", "replicate/model", f"{JOB_ID}/one_shot/0/replicate/model/0", "key", asked_at)
    CeleryJobQueue(celery_app).send_stop(stop)
    [raw] = cast("list[bytes]", redis_client.lrange(DIARIZE, 0, -1))
    message = json.loads(raw)
    [remote_id, *names, asked_s], *_ = json.loads(base64.b64decode(message["body"]))
    assert message["headers"]["task"] == STOP_REMOTE_JOB
    assert message["headers"]["job_id"] != JOB_ID
    assert RemoteStop(remote_id, *names, datetime.fromtimestamp(asked_s, UTC)) == stop


def test_an_absent_broker_is_said_in_our_own_words() -> None:
    app = make_celery(Settings(redis=RedisSettings.model_validate({"url": "redis://127.0.0.1:1/0"})))
    queue = CeleryJobQueue(app)
    with pytest.raises(QueueUnavailable):
        queue.send_prepare(JOB_ID)
    with pytest.raises(QueueUnavailable):
        queue.send_fan_out(JOB_ID, FanOut(lanes(2), (Piece(StepKind.DIARIZE),)))
    app.close()


def test_message_says_what_to_do_when_its_task_fails(celery_app: Celery, redis_client: Redis) -> None:
    CeleryJobQueue(celery_app).send_prepare(JOB_ID)
    pushed: Any = redis_client.lindex(MEDIA, 0)
    message = json.loads(pushed)
    assert message["headers"]["task"] == PREPARE_JOB
    assert message["headers"]["job_id"] == JOB_ID
    arguments, _, embedded = json.loads(base64.b64decode(message["body"]))
    assert arguments == [JOB_ID]
    assert [(errback["task"], errback["args"]) for errback in embedded["errbacks"]] == [(FAIL_JOB, [JOB_ID])]


def test_a_chunk_has_a_time_limit_of_its_own() -> None:
    app = make_celery(Settings(queue=QueueSettings(step_time_limit_s=1800, chunk_time_limit_s=40)))

    def work() -> None:
        """Nothing: only the limits matter."""

    chunk = app.task(name=TRANSCRIBE_CHUNK, shared=False)(work)
    other = app.task(name=PREPARE_JOB, shared=False)(work)
    app.finalize()
    assert (chunk.soft_time_limit, chunk.time_limit) == (40, 40 + HARD_LIMIT_GRACE_S)
    assert (other.soft_time_limit, other.time_limit) == (1800, 1800 + HARD_LIMIT_GRACE_S)
    app.close()
