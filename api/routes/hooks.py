"""Webhooks of vendors: a vendor says that its job is over. Open to anyone, so nothing is believed before its signature
is verified over the bytes that came; and even then it only makes Erni look, it brings no results.
"""

from __future__ import annotations

from http import HTTPStatus
from typing import Final

import structlog
from flask import Blueprint, Response, request
from redis.exceptions import RedisError

from api.runtime import Runtime, current_runtime
from erni import blob_paths, redis_keys
from erni.errors import ErniError, JobNotFound, NotFound, QueueUnavailable
from erni.jobs import Piece, StepKind
from erni.signatures import Delivery
from erni.steps.waking import find_waiting, note_submitted

log = structlog.get_logger(__name__)
blueprint = Blueprint("hooks", __name__, url_prefix="/v1/hooks")

MAX_BODY_BYTES: Final = 4 * 1024**2
"""A prediction of Replicate carries its whole transcript."""

REMEMBERED_S: Final = 2 * 3600
"""Longer than any vendor repeats a delivery, and longer than a signature is valid."""


@blueprint.post("/<provider>")
def receive_hook(provider: str) -> tuple[Response, int]:
    """204 once the piece that waits for the vendor's job is woken, and for what nobody waits for: a vendor repeats
    everything else.
    """
    runtime = current_runtime()
    verify = runtime.verifiers.get(provider)
    if verify is None:
        raise NotFound("No webhooks of such a vendor are expected here.")
    delivery = verify(dict(request.headers), _read_body(), runtime.services.clock())
    if _is_first(runtime, provider, delivery):
        _wake(runtime, provider, delivery)
    else:
        log.info("hook_repeated", provider=provider, remote_id=delivery.remote_id)
    return Response(), HTTPStatus.NO_CONTENT


def _read_body() -> bytes:
    request.max_content_length = MAX_BODY_BYTES
    return request.get_data(cache=False)


def _wake(runtime: Runtime, provider: str, delivery: Delivery) -> None:
    try:
        waiting = _find_waiting(runtime, provider, delivery)
        for job_id, piece in waiting:
            runtime.services.queue.send_wake(job_id, piece)
    except ErniError:
        # The vendor will repeat it, and then it must not pass for a repetition.
        _forget(runtime, provider, delivery)
        raise
    log.info(
        "hook_received" if waiting else "hook_unexpected",
        provider=provider,
        remote_id=delivery.remote_id,
        status=delivery.status,
        jobs=[job_id for job_id, _ in waiting],
    )


def _find_waiting(runtime: Runtime, provider: str, delivery: Delivery) -> list[tuple[str, Piece]]:
    """Who waits for the vendor's job: known by its id, else the piece that the address names."""
    waiting = find_waiting(runtime.services, provider, delivery.remote_id)
    named = _named_piece()
    if waiting or named is None or not note_submitted(runtime.services, provider, delivery.remote_id, named):
        return waiting
    return [named]


def _named_piece() -> tuple[str, Piece] | None:
    """The piece the address names."""
    kind, _, part = request.args.get("piece", "").partition(".")
    try:
        return blob_paths.check_job_id(request.args.get("job", "")), Piece(StepKind(kind), int(part[:6]))
    except (JobNotFound, ValueError):
        return None


def _is_first(runtime: Runtime, provider: str, delivery: Delivery) -> bool:
    name = redis_keys.hook(provider, delivery.delivery_id)
    try:
        return bool(runtime.redis.set(name, b"1", nx=True, ex=REMEMBERED_S))
    except RedisError as error:
        raise QueueUnavailable("Redis cannot be reached; send the webhook again.") from error


def _forget(runtime: Runtime, provider: str, delivery: Delivery) -> None:
    try:
        runtime.redis.delete(redis_keys.hook(provider, delivery.delivery_id))
    except RedisError:
        log.warning("hook_not_forgotten", provider=provider)
