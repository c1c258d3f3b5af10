"""The workers' app with a worker whose event loop stands still; run by test_watchdog."""

from __future__ import annotations

import time
from typing import Any

from celery import bootsteps

from tasks.app import celery_app

HUNG_AFTER_S = 4.0


class Hang(bootsteps.StartStopStep):
    requires = ("celery.worker.consumer.tasks:Tasks",)

    def start(self, consumer: Any) -> None:
        consumer.timer.call_after(HUNG_AFTER_S, time.sleep, (600.0,))


celery_app.steps["consumer"].add(Hang)
