"""Which pieces of a job's work are done and which are missing, from its plan, its steps and the blobs they left."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace

from erni import blob_paths, codec
from erni.jobs import Job, Piece, Step, StepKind
from erni.lanes import DEFAULT_WINDOW, plan_fan_out
from erni.model import Plan
from erni.ports import FanOut
from erni.services import Services

DIARIZATION = Piece(StepKind.DIARIZE)


@dataclass(frozen=True, slots=True)
class Missing:
    """Pieces that have neither a result nor a step that failed for good."""

    chunks: tuple[int, ...] = ()
    diarize: bool = False

    def __bool__(self) -> bool:
        return bool(self.chunks) or self.diarize


def wanted_pieces(job: Job, plan: Plan) -> tuple[Piece, ...]:
    """All pieces of a prepared job; a recording without speech has none."""
    chunks = tuple(Piece(StepKind.TRANSCRIBE, chunk.index) for chunk in plan.chunks)
    return (*chunks, DIARIZATION) if chunks and job.options.diarizer is not None else chunks


def find_missing(job: Job, plan: Plan, steps: Sequence[Step], results: Collection[Piece]) -> Missing:
    """What is still to be done, given the pieces whose result is there."""
    failed = {step.piece for step in steps if step.is_over and step.status != "ok"}
    missing = [piece for piece in wanted_pieces(job, plan) if piece not in results and piece not in failed]
    return Missing(
        chunks=tuple(piece.part for piece in missing if piece.kind is StepKind.TRANSCRIBE),
        diarize=DIARIZATION in missing,
    )


def result_path(job_id: str, piece: Piece) -> str:
    """Where a piece leaves its result."""
    return blob_paths.turns(job_id) if piece == DIARIZATION else blob_paths.chunk_result(job_id, piece.part)


def find_results(services: Services, job: Job, steps: Sequence[Step]) -> frozenset[Piece]:
    """The pieces whose result blob is there; a piece nobody began has none."""
    recognising = (step.piece for step in steps if step.kind in (StepKind.TRANSCRIBE, StepKind.DIARIZE))
    return frozenset(piece for piece in recognising if services.blobs.exists(result_path(job.job_id, piece)))


def load_plan(services: Services, job_id: str) -> Plan:
    """Raises BlobNotFound."""
    return codec.load_plan(services.blobs.get_bytes(blob_paths.plan(job_id)))


def settle(services: Services, step: Step) -> None:
    """Record the end of a step whose result is there although its worker did not live to say so."""
    if not step.is_over:
        services.jobs.finish_step(replace(step, status="ok", finished_at=services.clock(), reason=None))


def compose_fan_out(services: Services, plan: Plan, missing: Missing) -> FanOut:
    """The messages for what is missing, no more chunks at a time than workers can take.

    A long recording leaves one process free: who comes with a short one meanwhile need not even wait for a chunk.
    """
    is_long = plan.duration_s > services.limits.long_s
    processes = services.queue_watch.count_transcribers() or DEFAULT_WINDOW
    window = services.limits.window or max(1, processes - is_long)
    return plan_fan_out(missing.chunks, window=window, diarize=missing.diarize, is_long=is_long)
