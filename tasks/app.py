"""The workers' Celery app: ``celery -A tasks.app worker -Q transcribe``. Wires; the work is in ``erni.steps``."""

from __future__ import annotations

import functools
import multiprocessing
from typing import Any

import structlog
from celery.signals import setup_logging, worker_init, worker_process_init

from config.bootstrap import build_services
from config.logging import configure_logging
from config.queue import DEFAULT, DIARIZE, MEDIA, TRANSCRIBE, make_celery
from config.settings import load_settings
from erni.errors import ErniError
from erni.services import Services

log = structlog.get_logger(__name__)

settings = load_settings()
celery_app = make_celery(settings)
celery_app.conf.imports = ("tasks.jobs", "tasks.schedule", "tasks.heartbeat")

ready_processes = multiprocessing.Value("i", 0)
"""Pool processes that have loaded what their queue needs; shared with the parent, whose heartbeat reports it."""


@functools.cache
def current_services() -> Services:
    """This process's services, built at first use: after the fork, since connections must not cross it."""
    return build_services(settings)


def consumed_queues() -> tuple[str, ...]:
    """The queues this worker was told to serve with ``-Q``."""
    return tuple(celery_app.amqp.queues.consume_from)


@setup_logging.connect
def _set_up_logging(**_: Any) -> None:
    configure_logging(settings.log)


@worker_init.connect
def _set_concurrency(sender: Any, **_: Any) -> None:
    """One number per queue, from the settings, so that a Procfile and a container start the same command."""
    processes = {
        MEDIA: settings.workers.media,
        TRANSCRIBE: settings.workers.transcribe,
        DIARIZE: settings.workers.diarize,
        DEFAULT: settings.workers.default,
    }
    sender.concurrency = max(processes[queue] for queue in consumed_queues())


@worker_process_init.connect
def _load_engines(**_: Any) -> None:
    """Load what this worker's queues need before the first job asks for it."""
    queues = consumed_queues()
    try:
        services = current_services()
        engines = [
            *(services.transcribers.values() if TRANSCRIBE in queues else ()),
            *(services.diarizers.values() if DIARIZE in queues else ()),
        ]
        for engine in engines:
            engine.load()
    except ErniError as error:
        # The process stays: its pieces then fail one by one with this reason, and readiness stays off.
        log.error("engine_not_loaded", code=error.code, reason=error.message)  # noqa: TRY400  # no traceback: the message says what to do
        return
    with ready_processes.get_lock():
        ready_processes.value += 1
    log.info("process_ready", queues=queues)
