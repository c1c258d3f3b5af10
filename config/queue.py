"""Names the entrances share (queues, tasks) and the Celery app built from settings. Holds no task's work."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any, Final

from celery import Celery, chord
from celery.canvas import Signature
from celery.schedules import crontab
from celery.signals import before_task_publish
from kombu.entity import Queue
from kombu.exceptions import OperationalError
from redis.exceptions import RedisError

from config.settings import Settings
from erni.errors import QueueUnavailable
from erni.jobs import Piece, RemoteStop, StepKind
from erni.ports import FanOut

MEDIA: Final = "media"
TRANSCRIBE: Final = "transcribe"
DIARIZE: Final = "diarize"
LONG: Final = "long"
"""Decoding and joining of long recordings, so that short ones need not wait behind them."""

DEFAULT: Final = "default"
QUEUES: Final = (MEDIA, TRANSCRIBE, DIARIZE, LONG, DEFAULT)

PREPARE_JOB: Final = "erni.prepare_job"
TRANSCRIBE_CHUNK: Final = "erni.transcribe_chunk"
EMBED_CHUNK: Final = "erni.embed_chunk"
DIARIZE_JOB: Final = "erni.diarize_job"
ONE_SHOT_JOB: Final = "erni.one_shot_job"
WAKE_PIECE: Final = "erni.wake_piece"
STOP_REMOTE_JOB: Final = "erni.stop_remote_job"
ENROL_VOICEPRINT: Final = "erni.enrol_voiceprint"
PROBE_PROVIDERS: Final = "erni.probe_providers"
WARN_OF_RETIREMENTS: Final = "erni.warn_of_retirements"
FINISH_JOB: Final = "erni.finish_job"
FAIL_JOB: Final = "erni.fail_job"
SWEEP_JOBS: Final = "erni.sweep_jobs"
DELETE_EXPIRED: Final = "erni.delete_expired"
DELETE_TEMPORARY: Final = "erni.delete_temporary"
ANSWER_PROBE: Final = "erni.answer_probe"

ROUTES: Final = {
    PREPARE_JOB: MEDIA,
    TRANSCRIBE_CHUNK: TRANSCRIBE,
    EMBED_CHUNK: DIARIZE,
    DIARIZE_JOB: DIARIZE,
    ONE_SHOT_JOB: DIARIZE,
    WAKE_PIECE: DIARIZE,
    STOP_REMOTE_JOB: DIARIZE,
    ENROL_VOICEPRINT: DIARIZE,
    PROBE_PROVIDERS: DEFAULT,
    WARN_OF_RETIREMENTS: DEFAULT,
    FINISH_JOB: DEFAULT,
    FAIL_JOB: DEFAULT,
    SWEEP_JOBS: DEFAULT,
    DELETE_EXPIRED: DEFAULT,
    DELETE_TEMPORARY: DEFAULT,
}

LANE_TASKS: Final = {StepKind.TRANSCRIBE: TRANSCRIBE_CHUNK, StepKind.EMBED: EMBED_CHUNK}
WHOLE_TASKS: Final = {StepKind.DIARIZE: DIARIZE_JOB, StepKind.ONE_SHOT: ONE_SHOT_JOB}
QUEUE_OF_KIND: Final = {kind: ROUTES[task] for kind, task in LANE_TASKS.items()}

RESULT_EXPIRES_S: Final = 7 * 24 * 3600
"""Above the longest job: a chord's counter lives as long as a result."""

WORKER_START_S: Final = 180.0
"""A worker process loads its models before it reports for work; Celery's default of 4 s would end it."""

HARD_LIMIT_GRACE_S: Final = 30
"""Between the soft time limit, which a step can answer, and the end of its process."""

BROKER_TIMEOUT_S: Final = 5.0
"""Without one (kombu's default) a sender waits for ever on a broker that went away without closing its sockets."""

RESULT_TIMEOUT_S: Final = 30.0
RESULT_ATTEMPTS: Final = 60
LONGEST_RESULT_PAUSE_S: Final = 2.0
"""With full jitter, so a worker process that cannot record a result tries for nearly a minute. Then its piece of work
is done, but the join does not hear of it: the sweeper's case."""

RESTORE_LOCK_S: Final = 5
"""Life of the lock under which workers look for abandoned work. A worker killed inside leaves it behind, and for
kombu's default of five minutes nobody would look."""

WARNING_HOUR: Final = 6
"""UTC: when the log is told each day which engines come to their end."""

SECONDS_PER_DAY: Final = 24 * 3600.0

LOST_PROCESS_WAIT_S: Final = 2.0
"""How long a worker waits for the last answer of a process that died, before its work goes back to the queue."""


@before_task_publish.connect
def stamp_message(headers: dict[str, Any], body: tuple[Sequence[object], object, object], **_: object) -> None:
    """Give every message ``sent_at`` (epoch seconds) and ``job_id``, for the sweeper and the metrics."""
    headers["sent_at"] = time.time()
    if body[0]:
        headers["job_id"] = str(body[0][0])


def make_celery(settings: Settings) -> Celery:
    """The Celery app of every entrance: late acknowledgement, one task at a time, short visibility timeout.

    Redis delivers a message again when its worker has not acknowledged it within ``visibility_timeout``, even
    while the task still runs (celery#5935); the workers' heartbeat (``tasks.heartbeat``) renews the claim.
    """
    app = Celery("erni", broker=settings.redis_url, backend=settings.redis_url)
    app.loader.override_backends = {"redis": "config.results:UnwatchedResults"}
    app.conf.update(
        broker_connection_retry_on_startup=True,
        broker_transport_options=_transport_options(settings),
        **_RESULT_OPTIONS,
        task_acks_late=True,
        task_annotations=dict.fromkeys(LANE_TASKS.values(), _chunk_limits(settings)),
        task_reject_on_worker_lost=True,
        task_create_missing_queues=False,
        task_default_queue=DEFAULT,
        task_queues=[Queue(name) for name in QUEUES],
        task_routes={name: {"queue": queue} for name, queue in ROUTES.items()},
        task_soft_time_limit=settings.queue.step_time_limit_s,
        task_time_limit=settings.queue.step_time_limit_s + HARD_LIMIT_GRACE_S,
        # Nobody asks Celery how a task stands, and each state costs five commands.
        task_track_started=False,
        timezone="UTC",
        # Else a worker that reconnects in mid-task fetches a message it has no process for, and keeps it from others.
        worker_disable_prefetch=True,
        worker_hijack_root_logger=False,
        worker_lost_wait=LOST_PROCESS_WAIT_S,
        worker_max_memory_per_child=settings.workers.max_memory_mb * 1024,  # in KiB
        worker_prefetch_multiplier=1,
        worker_proc_alive_timeout=WORKER_START_S,
        worker_send_task_events=True,
        beat_schedule=_schedule(settings),
    )
    return app


_RESULT_OPTIONS: Final[dict[str, Any]] = {
    "redis_socket_timeout": RESULT_TIMEOUT_S,
    "redis_socket_connect_timeout": BROKER_TIMEOUT_S,
    "result_backend_always_retry": True,
    "result_backend_max_retries": RESULT_ATTEMPTS,
    "result_backend_base_sleep_between_retries_ms": 100,
    "result_backend_max_sleep_between_retries_ms": int(LONGEST_RESULT_PAUSE_S * 1000),
    # The inner one of two nested loops; twenty attempts here would multiply with those above.
    "result_backend_transport_options": {"retry_policy": {"max_retries": 1}},
    "result_expires": RESULT_EXPIRES_S,
}


def _transport_options(settings: Settings) -> dict[str, Any]:
    return {
        "visibility_timeout": settings.queue.visibility_timeout_s,
        "unacked_restore_interval": settings.queue.restore_interval_s,
        "unacked_restore_throttle": 1,
        "unacked_mutex_expire": RESTORE_LOCK_S,
        "socket_keepalive": True,
        "socket_timeout": BROKER_TIMEOUT_S,
        "socket_connect_timeout": BROKER_TIMEOUT_S,
    }


def _chunk_limits(settings: Settings) -> dict[str, int]:
    soft_s = settings.queue.chunk_time_limit_s
    return {"soft_time_limit": soft_s, "time_limit": soft_s + HARD_LIMIT_GRACE_S}


def _schedule(settings: Settings) -> dict[str, dict[str, Any]]:
    every = {
        SWEEP_JOBS: settings.beat.sweep_every_s,
        DELETE_EXPIRED: settings.beat.retention_every_s,
        DELETE_TEMPORARY: settings.beat.temporary_every_s,
        PROBE_PROVIDERS: settings.beat.probe_every_s,
    }
    entries: dict[str, tuple[float | crontab, float]] = {name: (seconds, seconds) for name, seconds in every.items()}
    # At a time of day, because a day's interval begins anew with each start of a beat that forgot its last one.
    entries[WARN_OF_RETIREMENTS] = (crontab(minute="0", hour=str(WARNING_HOUR)), SECONDS_PER_DAY)
    return {
        name: {"task": name, "schedule": schedule, "options": {"expires": expires_s}}
        for name, (schedule, expires_s) in entries.items()
    }


class CeleryJobQueue:
    """JobQueue over Celery, by task name: sender and worker share no code but this module."""

    def __init__(self, app: Celery) -> None:
        self._app = app

    def send_prepare(self, job_id: str, *, is_long: bool = False) -> None:
        self._send(_routed(self._guarded(PREPARE_JOB, job_id, *((1,) if is_long else ())), is_long=is_long))

    def send_fan_out(self, job_id: str, fan_out: FanOut) -> None:
        # First what cannot be spread and so decides when the job ends.
        header = [
            _routed(self._signature(WHOLE_TASKS[piece.kind], job_id, piece.part), is_long=fan_out.is_long)
            for piece in fan_out.whole
        ]
        header += [self._signature(LANE_TASKS[lane.kind], job_id, lane.chunk) for lane in fan_out.lanes]
        body = self._finish(job_id, is_long=fan_out.is_long)
        self._send(chord(header, body, app=self._app) if header else body)

    def send_finish(self, job_id: str, *, is_long: bool = False) -> None:
        self._send(self._finish(job_id, is_long=is_long))

    def send_wake(self, job_id: str, piece: Piece) -> None:
        self._send(self._app.signature(WAKE_PIECE, args=(job_id, piece.kind.value, piece.part), immutable=True))

    def send_enrol(self, voiceprint_id: str) -> None:
        self._send(self._app.signature(ENROL_VOICEPRINT, args=(voiceprint_id,), immutable=True))

    def send_stop(self, stop: RemoteStop) -> None:
        # Without the id of its job: the sweeper is not to take this for work on it, should it be tried again.
        arguments = (stop.remote_id, stop.engine, stop.charge_id, stop.key, stop.asked_at.timestamp())
        self._send(self._app.signature(STOP_REMOTE_JOB, args=arguments, immutable=True))

    def _finish(self, job_id: str, *, is_long: bool) -> Signature:
        return _routed(self._guarded(FINISH_JOB, job_id), is_long=is_long)

    def _guarded(self, name: str, job_id: str, *arguments: int) -> Signature:
        """A task whose failure fails the job."""
        return self._signature(name, job_id, *arguments).on_error(self._signature(FAIL_JOB, job_id))

    def _signature(self, name: str, job_id: str, *arguments: int) -> Signature:
        return self._app.signature(name, args=(job_id, *arguments), immutable=True)

    def _send(self, signature: Signature) -> None:
        try:
            signature.apply_async()
        except (OperationalError, RedisError, OSError) as error:
            raise QueueUnavailable("The broker cannot be reached; the job will be sent when it is back.") from error


def _routed(signature: Signature, *, is_long: bool) -> Signature:
    return signature.set(queue=LONG) if is_long else signature
