"""How a worker does one piece of a job: once over all hosts, recorded, and without ever raising for good. What cannot
be done becomes a recorded gap.

A piece holds the flight of its stage key while it looks for an earlier result and, without one, does the work: of
equal pieces, of one job or of several, one pays.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import structlog

from erni import blob_paths
from erni.errors import JobStopped
from erni.jobs import Job, Piece, StepKind
from erni.media.audio import cut_chunk
from erni.model import Chunk, Plan, Span
from erni.services import Services
from erni.stage_keys import StageKey
from erni.steps.pieces import load_plan, result_path, settle
from erni.steps.running import StepFailed, StepRun, give_up_engine, run_step, wanted_job, work_dir

log = structlog.get_logger(__name__)

PieceStatus = Literal["ok", "gap", "cancelled"]
"""What a chord's member answers: small, and the same for every kind of member."""


@dataclass(frozen=True, slots=True)
class PieceWork:
    """A piece whose result is not there yet, and what it is a piece of."""

    job: Job
    plan: Plan
    piece: Piece

    @property
    def chunk(self) -> Chunk:
        return self.plan.chunks[self.piece.part]


def find_work(services: Services, job_id: str, piece: Piece) -> PieceWork | PieceStatus:
    """What is to be done for a piece, or how it stands when that is nothing."""
    job = wanted_job(services, job_id)
    if job is None:
        return "cancelled"
    known = known_status(services, job_id, piece)
    return known or PieceWork(job, load_plan(services, job_id), piece)


def do_piece(
    services: Services, work: PieceWork, key: StageKey, engines: Sequence[str], do: Callable[[StepRun], None]
) -> PieceStatus:
    """Hold the flight, record the run and have ``do`` leave the result, unless somebody else left it meanwhile.

    Raises:
        WorkPostponed, WorkInFlight, WorkHandedBack: it is to be tried again.
        ErniError: records, blobs or Redis are away.
    """
    job_id = work.job.job_id
    try:
        with services.flights.hold(key.own):
            # Asked again, because whoever held the flight before us may have left the result.
            if known_status(services, job_id, work.piece) is None:
                with run_step(services, job_id, work.piece, engines=engines) as run:
                    do(run)
    except JobStopped:
        return "cancelled"
    except StepFailed as failed:
        log.warning("piece_failed", step=work.piece.kind, part=work.piece.part, code=failed.cause.code)
        return "gap"
    _forget_if_deleted(services, job_id)
    return "ok"


def known_status(services: Services, job_id: str, piece: Piece) -> PieceStatus | None:
    """How a piece ended before; ``None`` while it is to be done. Its result counts more than its record."""
    step = services.jobs.find_step(job_id, piece)
    if step is None:
        return None
    if services.blobs.exists(result_path(job_id, piece)):
        settle(services, step)
        return "ok"
    if not step.is_over:
        return None
    if step.status != "ok":
        return "gap"
    log.warning("result_vanished", step=piece.kind, part=piece.part)
    services.jobs.forget_steps(job_id, [piece])
    return None


def next_chunk(services: Services, job_id: str, kind: StepKind) -> int | None:
    """The chunk with which a lane for this kind of work goes on, or ``None`` when it has come to its end.

    A worker that dies with one in hand takes it along; whoever joins the job notices.
    """
    if wanted_job(services, job_id) is None:
        return None
    while (chunk := services.waiting_chunks.take(job_id, kind)) is not None:
        if known_status(services, job_id, Piece(kind, chunk)) is None:
            return chunk
    return None


def give_up_piece(services: Services, job_id: str, piece: Piece, reason: str) -> None:
    """Record that a piece of work failed for good, for a reason found outside the step (a bug, a missing engine)."""
    step = services.jobs.begin_step(job_id, piece)
    services.jobs.finish_step(replace(step, status="failed", finished_at=services.clock(), reason=reason))


def give_up_hung_engine(services: Services, job_id: str, piece: Piece, reason: str) -> bool:
    """Record that the engine at this piece did not answer in time; returns whether another one takes over."""
    job = wanted_job(services, job_id)
    step = services.jobs.find_step(job_id, piece)
    if job is None or step is None or step.is_over:
        return False
    engines = {StepKind.TRANSCRIBE: job.options.engines, StepKind.DIARIZE: job.options.diarizers}.get(piece.kind, ())
    return give_up_engine(services, step, reason, engines)


@contextmanager
def upload_audio(services: Services, work: PieceWork, audio_format: str) -> Iterator[Path]:
    """The chunk's file as an engine wants it sent. Kept beside the chunk, since a call may have to wait for its turn
    several times.

    Raises as ``chunk_audio``.
    """
    if audio_format == work.plan.audio_format:
        with chunk_audio(services, work) as audio:
            yield audio
        return
    path = blob_paths.chunk_audio(work.job.job_id, work.chunk.index, audio_format)
    if not services.blobs.exists(path):
        with work_dir(services) as directory, chunk_audio(services, work) as audio:
            encoded = directory / f"chunk.{audio_format}"
            whole = Span(0.0, work.chunk.audio.duration_s)
            cut_chunk(audio, whole, encoded, audio_format, ffmpeg=services.decoder.program)
            services.blobs.put_file(path, encoded)
    with services.blobs.local_copy(path) as upload:
        yield upload


@contextmanager
def chunk_audio(services: Services, work: PieceWork) -> Iterator[Path]:
    """The chunk's file; cut anew where it is not (or no longer) there.

    Raises BlobNotFound when the recording it is cut from is gone as well.
    """
    job_id, audio_format = work.job.job_id, work.plan.audio_format
    path = blob_paths.chunk_audio(job_id, work.chunk.index, audio_format)
    if services.blobs.exists(path):
        with services.blobs.local_copy(path) as audio:
            yield audio
        return
    with work_dir(services) as directory, services.blobs.local_copy(blob_paths.canonical_audio(job_id)) as whole:
        cut = directory / f"chunk.{audio_format}"
        cut_chunk(whole, work.chunk.audio, cut, audio_format, ffmpeg=services.decoder.program)
        yield cut


def _forget_if_deleted(services: Services, job_id: str) -> None:
    """A job deleted while its step worked must not leave the result behind."""
    if job_id not in services.jobs.existing([job_id]):
        services.blobs.delete_tree(blob_paths.job_root(job_id))
        services.cache.delete_job(job_id)
