"""Which pieces of a job's work there are, which are done and which are missing: from its plan, its steps and the blobs
they left.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace

from erni import blob_paths, codec
from erni.jobs import Job, Piece, Step, StepKind
from erni.lanes import DEFAULT_WINDOW, order_chunks
from erni.model import Plan
from erni.ports import ChunkedDiarizer, FanOut, Lane
from erni.services import Services
from erni.steps.reusing import diarize_key

DIARIZATION = Piece(StepKind.DIARIZE)
CHUNK_KINDS = (StepKind.EMBED, StepKind.TRANSCRIBE)
"""Kinds of work done chunk by chunk. Voices first: they take less time and the join wants all of them at once."""


@dataclass(frozen=True, slots=True)
class Missing:
    """Pieces that have neither a result nor a step that failed for good."""

    pieces: tuple[Piece, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.pieces)

    def __str__(self) -> str:
        counts = ((kind, len(self.parts(kind))) for kind in StepKind)
        return ", ".join(f"{count} {kind}" for kind, count in counts if count)

    def parts(self, kind: StepKind) -> frozenset[int]:
        return frozenset(piece.part for piece in self.pieces if piece.kind is kind)


def wanted_pieces(services: Services, job: Job, plan: Plan) -> tuple[Piece, ...]:
    """All pieces that a prepared job's workers do; a recording without speech has none.

    A diarizer that works by chunk wants each chunk's voices, unless they were told apart before.
    """
    indices = [chunk.index for chunk in plan.chunks]
    chunks = tuple(Piece(StepKind.TRANSCRIBE, index) for index in indices)
    if not chunks or job.options.diarizer is None:
        return chunks
    diarizer = services.diarizers.get(job.options.diarizer)
    if not isinstance(diarizer, ChunkedDiarizer):
        return (*chunks, DIARIZATION)
    is_known = services.blobs.exists(blob_paths.turns(job.job_id)) or services.cache.has(
        diarize_key(services, job, plan, diarizer).own
    )
    return chunks if is_known else (*chunks, *(Piece(StepKind.EMBED, index) for index in indices))


def find_missing(wanted: Sequence[Piece], steps: Sequence[Step], results: Collection[Piece]) -> Missing:
    """What is still to be done, given the pieces whose result is there."""
    failed = {step.piece for step in steps if step.is_over and step.status != "ok"}
    return Missing(tuple(piece for piece in wanted if piece not in results and piece not in failed))


def result_path(job_id: str, piece: Piece) -> str:
    """Where a piece leaves its result."""
    if piece == DIARIZATION:
        return blob_paths.turns(job_id)
    if piece.kind is StepKind.EMBED:
        return blob_paths.chunk_voices(job_id, piece.part)
    return blob_paths.chunk_result(job_id, piece.part)


def find_results(services: Services, job: Job, steps: Sequence[Step]) -> frozenset[Piece]:
    """The pieces whose result blob is there; a piece nobody began has none."""
    begun = (step.piece for step in steps if step.kind in (*CHUNK_KINDS, StepKind.DIARIZE))
    return frozenset(piece for piece in begun if services.blobs.exists(result_path(job.job_id, piece)))


def load_plan(services: Services, job_id: str) -> Plan:
    """Raises BlobNotFound."""
    return codec.load_plan(services.blobs.get_bytes(blob_paths.plan(job_id)))


def settle(services: Services, step: Step) -> None:
    """Record the end of a step whose result is there although its worker did not live to say so."""
    if not step.is_over:
        services.jobs.finish_step(replace(step, status="ok", finished_at=services.clock(), reason=None))


def is_long(services: Services, plan: Plan) -> bool:
    """Whether the recording is work for the workers for long work."""
    return plan.duration_s > services.limits.long_s


def send_pieces(services: Services, job: Job, plan: Plan, missing: Missing) -> None:
    """Send what is missing: no more chunks at a time than there are processes for them. Raises QueueUnavailable."""
    lanes: list[Lane] = []
    for kind in CHUNK_KINDS:
        window = services.limits.window or services.queue_watch.count_processes(kind) or DEFAULT_WINDOW
        order = order_chunks(plan.chunks, missing.parts(kind), window)
        services.waiting_chunks.put(job.job_id, kind, order.waiting)
        lanes += [Lane(kind, chunk) for chunk in order.first]
    fan_out = FanOut(tuple(lanes), diarize=DIARIZATION in missing.pieces, is_long=is_long(services, plan))
    services.queue.send_fan_out(job.job_id, fan_out)
