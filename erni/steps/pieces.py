"""Which pieces of a job's work there are, which are done and which are missing: from its plan, its steps and the blobs
they left.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace

from erni import blob_paths, codec
from erni.engine_ports import ChunkedDiarizer, Diarizer
from erni.jobs import Job, Piece, Step, StepKind
from erni.lanes import DEFAULT_WINDOW, order_chunks
from erni.model import Plan
from erni.ports import FanOut, Lane
from erni.services import Services
from erni.steps.heard_voices import are_voices_kept
from erni.steps.reusing import diarize_key

DIARIZATION = Piece(StepKind.DIARIZE)
ONE_SHOT = Piece(StepKind.ONE_SHOT)
CHUNK_KINDS = (StepKind.EMBED, StepKind.TRANSCRIBE)
"""Kinds of work done chunk by chunk. Voices first: they take less time and the join wants all of them at once."""
WHOLE_KINDS = (StepKind.DIARIZE, StepKind.ONE_SHOT)
"""Kinds of work done on the recording in one piece."""


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

    A diarizer that works by chunk wants each chunk's voices, unless they were told apart before. Where it could not
    tell them apart, the one that took over wants the recording in one piece.
    """
    if not plan.chunks:
        return ()
    if plan.is_one_shot:
        return (ONE_SHOT,)
    chunks = tuple(Piece(StepKind.TRANSCRIBE, chunk.index) for chunk in plan.chunks)
    if job.options.diarizer is None:
        return chunks
    voices = tuple(Piece(StepKind.EMBED, chunk.index) for chunk in plan.chunks)
    diarizer = services.diarizers.get(job.options.diarizer)
    if isinstance(diarizer, ChunkedDiarizer):
        taken_over = (DIARIZATION,) if _has_next_diarizer(services, job) else ()
        heard = () if _are_voices_known(services, job, plan, diarizer) else voices
        return (*chunks, *taken_over, *heard)
    turns = tuple(Piece(StepKind.DIARIZE, part) for part in range(len(voice_groups(job, diarizer))))
    return (*chunks, *turns, *voices) if names_by_listening(services, job) else (*chunks, *turns)


def voice_groups(job: Job, diarizer: Diarizer | None) -> tuple[tuple[str, ...], ...]:
    """The known voices the job looks for, by id, in groups as large as one call of its diarizer takes, without those
    its vendor does not know; one empty group where it takes none.
    """
    most = diarizer.capabilities.max_voiceprints if diarizer else 0
    unknown = set(job.options.unknown_voiceprints)
    wanted = [voice for voice in job.options.voiceprints if voice not in unknown]
    if not most or not wanted:
        return ((),)
    return tuple(tuple(wanted[first : first + most]) for first in range(0, len(wanted), most))


def names_by_listening(services: Services, job: Job) -> bool:
    """Whether known voices are looked for by this installation's own voice model, because the diarizer knows none of
    them.
    """
    groups = voice_groups(job, services.diarizers.get(job.options.diarizer or ""))
    return bool(job.options.voiceprints) and groups == ((),) and voice_listener(services, job) is not None


def voice_listener(services: Services, job: Job) -> ChunkedDiarizer | None:
    """Who hears the voices of the job's chunks: its diarizer, or else the installation's own one."""
    diarizers = [services.diarizers.get(job.options.diarizer or ""), *services.diarizers.values()]
    return next((diarizer for diarizer in diarizers if isinstance(diarizer, ChunkedDiarizer)), None)


def _has_next_diarizer(services: Services, job: Job) -> bool:
    """Whether another diarizer has taken over from the job's first one."""
    step = services.jobs.find_step(job.job_id, DIARIZATION) if job.options.diarizer_fallback else None
    return step is not None and step.engine in job.options.diarizer_fallback


def _are_voices_known(services: Services, job: Job, plan: Plan, diarizer: ChunkedDiarizer) -> bool:
    if job.options.voiceprints and not are_voices_kept(services, job.job_id):
        return False
    is_there = services.blobs.exists(blob_paths.turns(job.job_id))
    return is_there or services.cache.has(diarize_key(services, job, plan, diarizer).own)


def find_missing(wanted: Sequence[Piece], steps: Sequence[Step], results: Collection[Piece]) -> Missing:
    """What is still to be done, given the pieces whose result is there."""
    failed = {step.piece for step in steps if step.is_over and step.status != "ok"}
    return Missing(tuple(piece for piece in wanted if piece not in results and piece not in failed))


def result_path(job_id: str, piece: Piece) -> str:
    """Where a piece leaves its result; what is found in one shot lies where a lone chunk's would."""
    if piece.kind is StepKind.DIARIZE:
        return blob_paths.turns(job_id, piece.part)
    if piece.kind is StepKind.EMBED:
        return blob_paths.chunk_voices(job_id, piece.part)
    return blob_paths.chunk_result(job_id, piece.part)


def find_results(services: Services, job: Job, steps: Sequence[Step]) -> frozenset[Piece]:
    """The pieces whose result blob is there; a piece nobody began has none."""
    begun = (step.piece for step in steps if step.kind in (*CHUNK_KINDS, *WHOLE_KINDS))
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
    whole = tuple(piece for piece in missing.pieces if piece.kind in WHOLE_KINDS)
    services.queue.send_fan_out(job.job_id, FanOut(tuple(lanes), whole, is_long=is_long(services, plan)))
