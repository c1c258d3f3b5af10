"""The workers' app with a worker that stays connected but stops consuming; run by test_watchdog."""

from __future__ import annotations

from typing import Any

from celery import bootsteps

from tasks.app import celery_app

DEAF_AFTER_S = 4.0


class Deafness(bootsteps.StartStopStep):
    requires = ("celery.worker.consumer.tasks:Tasks",)

    def start(self, consumer: Any) -> None:
        consumer.timer.call_after(DEAF_AFTER_S, consumer.task_consumer.cancel)


celery_app.steps["consumer"].add(Deafness)
