"""Giving times to the words of engines that have none, or only of whole segments."""

from __future__ import annotations

from dataclasses import replace

import structlog

from erni import codec
from erni.aligning import estimate_times
from erni.engine_ports import Aligner, AlignmentRequest
from erni.errors import ConfigError, EngineError
from erni.model import Recognition, Span, Word
from erni.services import Services
from erni.stage_keys import StageKey
from erni.steps.reusing import find_recognition, keep_result, stage_keys
from erni.steps.running import make_checkpoint
from erni.steps.shortfalls import not_aligned_notice
from erni.steps.working import PieceWork, chunk_audio

log = structlog.get_logger(__name__)


def give_times(services: Services, work: PieceWork, recognition: Recognition, key: StageKey) -> Recognition:
    """The recognition with times for every word; as it is, where its engine timed them itself.

    ``key`` is the recognition's own. An aligner that fails, or cannot be loaded, costs precision, never the words; what
    is estimated in its stead is not kept for others, whose aligner may be well again.
    """
    if all(word.timing == "exact" for word in recognition.words):
        return recognition
    if services.aligner is None:
        return replace(recognition, words=_estimate(work, recognition), places=())
    own = stage_keys(services, work.job).align(key, services.aligner.fingerprint)
    found = find_recognition(services, work.job, own, 0.0)
    if found is not None:
        return found[0]
    try:
        words = _align(services, services.aligner, work, recognition)
    except (EngineError, ConfigError) as error:
        log.warning("alignment_failed", chunk=work.chunk.index, code=error.code, reason=error.message)
        warnings = (*recognition.warnings, not_aligned_notice(work.chunk))
        return replace(recognition, words=_estimate(work, recognition), warnings=warnings, places=())
    timed = replace(recognition, words=words, places=())
    keep_result(services, work.job, own, codec.dump_recognition(timed), audio_s=_duration_s(work))
    return timed


def _align(services: Services, aligner: Aligner, work: PieceWork, recognition: Recognition) -> tuple[Word, ...]:
    with chunk_audio(services, work) as audio:
        return aligner.align(
            AlignmentRequest(
                audio=audio,
                duration_s=_duration_s(work),
                words=recognition.words,
                places=recognition.places,
                language=work.job.options.language or recognition.language,
                speech=_own_speech(work),
                checkpoint=make_checkpoint(services, work.job.job_id),
            )
        )


def _estimate(work: PieceWork, recognition: Recognition) -> tuple[Word, ...]:
    return estimate_times(recognition.words, _own_speech(work), _duration_s(work), recognition.places)


def _duration_s(work: PieceWork) -> float:
    return work.chunk.audio.duration_s


def _own_speech(work: PieceWork) -> tuple[Span, ...]:
    """The speech in the chunk's audio, on its clock."""
    audio = work.chunk.audio
    inside = (
        Span(max(span.start_s, audio.start_s), min(span.end_s, audio.end_s))
        for span in work.plan.speech
        if span.end_s > audio.start_s and span.start_s < audio.end_s
    )
    return tuple(Span(span.start_s - audio.start_s, span.end_s - audio.start_s) for span in inside)
