"""The workers' app with tasks that take their time; run in the workers of these tests."""

from __future__ import annotations

import os
import time

from celery import Task, chord
from celery.exceptions import Reject

from config.bootstrap import build_redis
from tasks.app import celery_app, current_services, settings


def count(key: str) -> None:
    with build_redis(settings) as client:
        client.incr(key)


@celery_app.task(name="test.count_and_sleep", ignore_result=True)
def count_and_sleep(key: str, seconds: float) -> None:
    count(f"{key}:begun")
    time.sleep(seconds)
    count(f"{key}:ended")


@celery_app.task(name="test.work_until_told", ignore_result=True)
def work_until_told(key: str, seconds: float) -> None:
    """Asks at its checkpoints whether to hand itself back, as the steps do."""
    count(f"{key}:begun")
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if current_services().is_draining():
            raise Reject(requeue=True)
        time.sleep(0.1)
    count(f"{key}:ended")


@celery_app.task(name="test.sleep_and_retry", bind=True, ignore_result=True)
def sleep_and_retry(self: Task, key: str, seconds: float) -> None:
    if self.request.retries == 0:
        count(f"{key}:begun")
        time.sleep(seconds)
        raise self.retry(countdown=0)
    count(f"{key}:ended")


@celery_app.task(name="test.come_back_later", bind=True, ignore_result=True)
def come_back_later(self: Task, key: str, seconds: float) -> None:
    """Its next message arrives before this run has ended."""
    if self.request.retries == 0:
        self.retry(countdown=seconds, throw=False)
        time.sleep(1.0)
        return
    count(f"{key}:ended")


@celery_app.task(name="test.sleep_in_chord")
def sleep_in_chord(seconds: float) -> str:
    time.sleep(seconds)
    return "ok"


@celery_app.task(name="test.send_chord", ignore_result=True)
def send_chord(key: str, seconds: float) -> None:
    """Two members that sleep, then one count of ``key``."""
    members = [sleep_in_chord.si(seconds).set(queue="default") for _ in range(2)]
    chord(members, count_once.si(key).set(queue="default")).apply_async()
    count(f"{key}:sent")


@celery_app.task(name="test.count", ignore_result=True)
def count_once(key: str) -> None:
    count(key)


@celery_app.task(name="test.fill_memory", ignore_result=True)
def fill_memory(key: str, megabytes: int) -> None:
    """Leaves the id of the process that filled its memory under ``key``."""
    filled = bytearray(os.urandom(1024) * 1024 * megabytes)
    with build_redis(settings) as client:
        client.set(key, os.getpid() if filled else 0)
