"""The workers' app with one more task, slower than the visibility timeout; run by test_heartbeat in a worker."""

from __future__ import annotations

import time

from config.bootstrap import build_redis
from tasks.app import celery_app, settings


@celery_app.task(name="test.count_and_sleep")
def count_and_sleep(key: str, seconds: float) -> None:
    build_redis(settings).incr(f"{key}:begun")
    time.sleep(seconds)
    build_redis(settings).incr(f"{key}:ended")
