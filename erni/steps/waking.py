"""A vendor says that its job is over: the piece that waits for it is looked at now, instead of at its next turn."""

from __future__ import annotations

import structlog

from erni.errors import WorkPostponed
from erni.jobs import JobStatus, Piece, StepKind
from erni.services import Services
from erni.steps.diarizing import diarize_job
from erni.steps.one_shot import listen_in_one_shot
from erni.steps.pieces import WHOLE_KINDS, find_missing, find_results, is_long, load_plan, wanted_pieces
from erni.steps.running import wanted_job

log = structlog.get_logger(__name__)


def find_waiting(services: Services, provider: str, remote_id: str) -> list[tuple[str, Piece]]:
    """The jobs and pieces that wait for a vendor's job: one, but for equal recordings; none when it is over."""
    return [(step.job_id, step.piece) for step in services.jobs.find_remote(provider, remote_id)]


def note_submitted(services: Services, provider: str, remote_id: str, named: tuple[str, Piece]) -> bool:
    """Whether the piece a webhook's address names waits for it without knowing the vendor's id; it does from now on.

    So a webhook that is faster than the record of the id tells it, and one of a job whose submission got no answer.
    """
    job_id, piece = named
    return piece.kind in WHOLE_KINDS and services.jobs.note_remote(job_id, piece, provider, remote_id)


def wake_piece(services: Services, job_id: str, piece: Piece) -> None:
    """Look at a piece beside its own message, which finds it done later and leaves.

    Raises:
        WorkPostponed: it waits for no vendor's job any more, as where the next engine takes over, and is to be looked
            at again sooner than its own message would.
        WorkInFlight, WorkHandedBack: look again.
        ErniError: records, blobs or Redis are away.
    """
    if piece.kind not in WHOLE_KINDS:
        return
    try:
        if piece.kind is StepKind.DIARIZE:
            status = diarize_job(services, job_id, piece.part)
        else:
            status = listen_in_one_shot(services, job_id)
    except WorkPostponed:
        step = services.jobs.find_step(job_id, piece)
        if step is not None and step.remote_id is None:
            raise
        log.info("woken_too_early", step=piece.kind)
        return
    if status != "cancelled":
        join_if_complete(services, job_id)


def join_if_complete(services: Services, job_id: str) -> None:
    """Send the join of a job whose pieces are all over, where one of them was a vendor's job.

    Its chord would wait for that piece's next turn although a webhook brought its end long before. Called by whoever
    ends a piece, so that whichever is last sends it; the join that the chord sends later finds the job over.

    Raises QueueUnavailable, StorageError.
    """
    job = wanted_job(services, job_id)
    if job is None or job.status is not JobStatus.PROCESSING:
        return
    steps = services.jobs.steps(job_id)
    if not any(step.remote_id is not None for step in steps):
        return
    plan = load_plan(services, job_id)
    if not find_missing(wanted_pieces(services, job, plan), steps, find_results(services, job, steps)):
        services.queue.send_finish(job_id, is_long=is_long(services, plan))
