"""What a transcript lacks, from how the pieces of its job ended: gaps, and notices about speakers and
times. Decides only."""

from __future__ import annotations

from collections.abc import Container, Iterator, Mapping, Sequence
from typing import Final

from erni.jobs import Job, Piece, Step, StepKind
from erni.model import Chunk, Diarization, Gap, Notice, Plan, Span
from erni.steps.pieces import DIARIZATION, ONE_SHOT

DIARIZATION_FAILED: Final = "diarization_failed"
VOICES_UNHEARD: Final = "voices_unheard"
VOICES_NOT_COMPARED: Final = "voices_not_compared"
WORDS_NOT_ALIGNED: Final = "words_not_aligned"
MOST_SHOWN: Final = 5
"""Ids of known voices named in a notice; there may be hundreds."""

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
    if not plan.chunks or not has_speakers(job, plan):
        return ()
    if diarization is None:
        message = f"Speakers could not be found; the transcript has none. {explain(steps.get(DIARIZATION))}"
        return (Notice(DIARIZATION_FAILED, message),)
    return (*_unheard_notices(plan, steps), *_count_notices(job, diarization))


def naming_notices(job: Job, steps: Steps, uncompared: Sequence[str]) -> tuple[Notice, ...]:
    """Which known voices the speakers were to be compared with but were not, and why."""
    if not uncompared:
        return ()
    shown = ", ".join(uncompared[:MOST_SHOWN]) + (", ..." if len(uncompared) > MOST_SHOWN else "")
    message = f"{len(uncompared)} of {len(job.options.voiceprints)} known voices were not looked for ({shown})."
    return (Notice(VOICES_NOT_COMPARED, " ".join([message, *_reasons_not_compared(job, steps, uncompared)])),)


def has_speakers(job: Job, plan: Plan) -> bool:
    """Whether speakers are to be found: by a diarizer, or by the engine that finds them with the words."""
    return plan.is_one_shot or job.options.diarizer is not None


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
    """One for each chunk whose voices could not be heard: its words have the speakers around it.

    None where the diarizer that could not hear them gave way to one that heard the whole.
    """
    told_apart = steps.get(DIARIZATION)
    gave_way = {failure.engine for failure in told_apart.failures} if told_apart is not None else set()
    # A piece that hung, or crashed, has no engine on record.
    made_up_for = {*gave_way, None} if gave_way else set()
    return tuple(
        Notice(VOICES_UNHEARD, f"Who speaks here was guessed from what is around it. {explain(step)}", chunk.own)
        for chunk in plan.chunks
        if (step := steps.get(Piece(StepKind.EMBED, chunk.index))) is not None
        and step.status == "failed"
        and step.engine not in made_up_for
    )


def _reasons_not_compared(job: Job, steps: Steps, uncompared: Sequence[str]) -> Iterator[str]:
    if unknown := len(set(uncompared) & set(job.options.unknown_voiceprints)):
        yield f"{unknown} are not known to every engine here: enrol them again."
    first = steps.get(DIARIZATION)
    if first is not None:
        yield from (f"{failure.engine}: {failure.reason}" for failure in first.failures)
    for piece, step in steps.items():
        if piece.kind is StepKind.DIARIZE and piece.part and step.status == "failed":
            yield explain(step)


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
