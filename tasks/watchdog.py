"""The watchdog: ends a worker that is connected but takes no work, so that whoever supervises it starts it again.

After a lost connection a Celery worker may live on without consuming (celery#8030, #9054, #10205), and its event
loop may hang. So each worker consumes one more queue, of its own, through the same consumer as its work; a thread
puts a probe there while a pool process is free, and the event loop notes when it takes one.
"""

from __future__ import annotations

import os
import threading
import time
import uuid
from typing import Any, Final

import structlog
from celery import Task, bootsteps
from celery.worker import state
from kombu.entity import Queue
from kombu.exceptions import OperationalError
from redis.exceptions import RedisError

from config.queue import ANSWER_PROBE, BROKER_TIMEOUT_S
from tasks.app import celery_app, settings
from tasks.pool import is_pool_ready, is_stopping

log = structlog.get_logger(__name__)

STALLED_EXIT_CODE: Final = os.EX_TEMPFAIL
"""75, sysexits.h: "temporary failure; the user is invited to retry"."""

PROBES_PER_STALL: Final = 3
"""So many in a row must lie unanswered."""


probe_answered = threading.Event()

probe_queue = Queue(f"probe.{uuid.uuid4().hex}", expires=settings.queue.stall_after_s)
"""Named by chance, not by the worker's name, which another one may bear; it vanishes when nobody asks any more."""


class AnswerProbe(Task):  # type: ignore[misc]  # Celery ships no types
    """Answered where it is received, in the main process: it takes no pool process, no log line and no event."""

    name = ANSWER_PROBE
    ignore_result = True

    def start_strategy(self, _app: Any, _consumer: Any, **_: Any) -> Any:
        def answer(message: Any, *_: Any) -> None:
            probe_answered.set()
            message.ack()

        return answer


class Watchdog(bootsteps.StartStopStep):  # type: ignore[misc]  # Celery ships no types
    """Has the worker consume its probes, anew with every connection, and watches from a thread."""

    requires = ("celery.worker.consumer.tasks:Tasks",)

    def __init__(self, parent: Any, **kwargs: Any) -> None:
        super().__init__(parent, **kwargs)
        self._thread: threading.Thread | None = None

    def start(self, consumer: Any) -> None:
        # Without the expiry, which is the sender's to renew: a consumer of expiring queues sweeps kombu's tables.
        consumer.task_consumer.add_queue(Queue(probe_queue.name))
        if self._thread is None:
            self._thread = threading.Thread(target=watch_for_ever, args=(consumer,), name="watchdog", daemon=True)
            self._thread.start()


def watch_for_ever(consumer: Any) -> None:
    """Probe until too many probes in a row lie unanswered. Counted, not timed: a host that slept for an hour, or a
    broker that answered late, leaves one probe unanswered, not several.
    """
    unanswered = 0
    while unanswered < PROBES_PER_STALL:
        probe_answered.clear()
        is_probed = should_consume(consumer) and send_probe()
        time.sleep(settings.queue.stall_after_s / PROBES_PER_STALL)
        is_missed = is_probed and should_consume(consumer) and not probe_answered.is_set()
        unanswered = unanswered + 1 if is_missed else 0
    end_worker()


def should_consume(consumer: Any) -> bool:
    """Whether this worker should take a message now: all its processes are ready, and not all are at work."""
    is_able = is_pool_ready(consumer.pool) and not is_stopping()
    return is_able and len(state.active_requests) < consumer.controller.concurrency


def send_probe() -> bool:
    """Put a probe into the queue unless one waits there; returns whether the broker answered, since its outage is
    no fault of the worker's.
    """
    try:
        with celery_app.connection_for_write(transport_options={"socket_timeout": BROKER_TIMEOUT_S}) as connection:
            waiting = probe_queue(connection.channel()).queue_declare().message_count
            if not waiting:
                celery_app.send_task(ANSWER_PROBE, queue=probe_queue, connection=connection, retry=False)
    except (OperationalError, RedisError, OSError) as error:
        log.warning("probe_not_sent", error=type(error).__name__)
        return False
    return True


def end_worker() -> None:
    """End the main process at once, since what hangs may not answer to a signal; the pool dies with it (prctl(2))."""
    log.error("worker_not_consuming", probes_unanswered=PROBES_PER_STALL, exit_code=STALLED_EXIT_CODE)
    os._exit(STALLED_EXIT_CODE)


celery_app.register_task(AnswerProbe())
celery_app.steps["consumer"].add(Watchdog)
