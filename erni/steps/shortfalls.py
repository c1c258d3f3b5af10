"""What a transcript lacks, from how the pieces of its job ended: gaps, and notices about speakers and
times. Decides only."""

from __future__ import annotations

from collections.abc import Container, Mapping, Sequence
from typing import Final

from erni.jobs import Job, Piece, Step, StepKind
from erni.model import Chunk, Diarization, Gap, Notice, Plan, Span
from erni.steps.pieces import DIARIZATION, ONE_SHOT

DIARIZATION_FAILED: Final = "diarization_failed"
VOICES_UNHEARD: Final = "voices_unheard"
VOICES_NOT_COMPARED: Final = "voices_not_compared"
WORDS_NOT_ALIGNED: Final = "words_not_aligned"

Steps = Mapping[Piece, Step]


def find_gaps(plan: Plan, answered: Container[int], steps: Steps) -> tuple[Gap, ...]:
    """One gap for each chunk that is not ``answered``, with the engines it went to and what each of them said."""
    missing = [chunk for chunk in plan.chunks if chunk.index not in answered]
    failed = [(chunk, steps.get(piece_of(plan, chunk))) for chunk in missing]
    return tuple(Gap(chunk.own, explain(step), _engines_tried(step)) for chunk, step in failed)


def piece_of(plan: Plan, chunk: Chunk) -> Piece:
    """The piece that should have the chunk's words."""
    return ONE_SHOT if plan.is_one_shot else Piece(StepKind.TRANSCRIBE, chunk.index)


def explain(step: Step | None) -> str:
    """Why a piece has no result, engine by engine."""
    if step is None:
        return "No worker began this piece."
    before = [f"{failure.engine}: {failure.reason}" for failure in step.failures]
    last = step.reason or "The worker ended without an answer."
    return " ".join([*before, f"{step.engine}: {last}" if before else last])


def speaker_notices(job: Job, plan: Plan, steps: Steps, diarization: Diarization | None) -> tuple[Notice, ...]:
    """What a reader should know about the speakers."""
    if job.options.diarizer is None or not plan.chunks:
        return ()
    if diarization is None:
        message = f"Speakers could not be found; the transcript has none. {explain(steps.get(DIARIZATION))}"
        return (Notice(DIARIZATION_FAILED, message),)
    return (*_unheard_notices(plan, steps), *_uncompared_notices(steps), *_count_notices(job, diarization))


def lacks_voices(notices: Sequence[Notice]) -> bool:
    """Whether something about the speakers could still be found out by trying again."""
    return any(notice.code in (DIARIZATION_FAILED, VOICES_UNHEARD, VOICES_NOT_COMPARED) for notice in notices)


def not_aligned_notice(chunk: Chunk) -> Notice:
    """Says, on the clock of the chunk's audio, that its words should have better times."""
    message = "The times of the words here are estimated: they could not be looked for in the audio."
    return Notice(WORDS_NOT_ALIGNED, message, Span(0.0, chunk.audio.duration_s))


def lacks_times(notices: Sequence[Notice]) -> bool:
    """Whether words have worse times than they would have if the job were done again."""
    return any(notice.code == WORDS_NOT_ALIGNED for notice in notices)


def _engines_tried(step: Step | None) -> tuple[str, ...]:
    if step is None:
        return ()
    before = tuple(failure.engine for failure in step.failures)
    return (*before, step.engine) if step.engine else before


def _unheard_notices(plan: Plan, steps: Steps) -> tuple[Notice, ...]:
    """One for each chunk whose voices could not be heard: its words have the speakers around it."""
    return tuple(
        Notice(VOICES_UNHEARD, f"Who speaks here was guessed from what is around it. {explain(step)}", chunk.own)
        for chunk in plan.chunks
        if (step := steps.get(Piece(StepKind.EMBED, chunk.index))) is not None and step.status == "failed"
    )


def _uncompared_notices(steps: Steps) -> tuple[Notice, ...]:
    """Where a group of the known voices beyond the first call's could not be looked for."""
    failed = [step for piece, step in steps.items() if piece.kind is StepKind.DIARIZE and piece.part]
    return tuple(
        Notice(VOICES_NOT_COMPARED, f"Some known voices could not be looked for. {explain(step)}")
        for step in failed
        if step.status == "failed"
    )


def _count_notices(job: Job, diarization: Diarization) -> tuple[Notice, ...]:
    """Say so where the voices found are not as many as the caller asked for."""
    found = len({turn.speaker for turn in diarization.turns})
    least = job.options.num_speakers or job.options.min_speakers or 0
    if found >= least:
        return ()
    message = (
        f"{least} speakers were asked for, but the recording holds too little speech to tell more than {found} apart."
    )
    return (Notice("speaker_count_not_reached", message),)
