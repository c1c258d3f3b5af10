"""All metrics of one hearing of a recording. Puts the rooms of single metrics together; runs nothing."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Final

from evals.aligning import Alignment, align
from evals.borders import BorderErrors, BorderJoin, find_border_errors
from evals.counts import Counts, pool, share
from evals.hearing import Hearing
from evals.normalising import SpokenWord, normalise_words
from evals.references import Reference
from evals.seams import SeamErrors, count_seam_errors, place_words
from evals.speaker_metrics import DiarizationErrors, SpeakerCount, compare_turns, count_speakers
from evals.speaker_words import COLLAR_S, compare_speaker_words
from evals.timing import InventedWords, WordTimes, count_invented_words, measure_word_times
from evals.word_metrics import WordErrors, count_word_errors

TURN_COLLAR_S: Final = 0.25
"""NIST's usual collar on either side of an expected border of a turn."""


@dataclass(frozen=True, slots=True)
class Speed(Counts):
    """Seconds from acceptance to transcript, and of audio."""

    elapsed_s: float
    audio_s: float

    @property
    def real_time_factor(self) -> float | None:
        return share(self.elapsed_s, self.audio_s)


@dataclass(frozen=True, slots=True)
class Measurement:
    """One hearing's metrics, or the sum of many; ``None`` where the reference or the hearing does not say enough."""

    speed: Speed | None = None
    words: WordErrors | None = None
    speaker_words: WordErrors | None = None
    timed_speaker_words: WordErrors | None = None
    turns: DiarizationErrors | None = None
    turns_with_collar: DiarizationErrors | None = None
    speakers: SpeakerCount | None = None
    invented: InventedWords | None = None
    word_times: WordTimes | None = None
    seams: SeamErrors | None = None


@dataclass(frozen=True, slots=True)
class Comparison:
    """What was said beside what was written: words normalised, in order, with times."""

    expected: Sequence[SpokenWord]
    found: Sequence[SpokenWord]
    alignment: Alignment


def compare_words(reference: Reference, hearing: Hearing) -> Comparison | None:
    """``None`` where the reference has no words; without times they take those of the words found."""
    if reference.words is None:
        return None
    expected = normalise_words(reference.words, hearing.language)
    found = normalise_words(hearing.words, hearing.language)
    alignment = align([word.text for word in expected], [word.text for word in found])
    if not reference.has_times:
        expected = place_words(expected, found, alignment)
    return Comparison(expected, found, alignment)


def measure(reference: Reference, hearing: Hearing, seams_s: Sequence[float]) -> Measurement:
    """``seams_s`` are the places whose words are looked at, also in a hearing that was not cut there."""
    words = compare_words(reference, hearing)
    return Measurement(
        speed=Speed(hearing.elapsed_s, hearing.duration_s),
        words=count_word_errors(words.alignment) if words else None,
        speaker_words=compare_speaker_words(words.expected, words.found) if words and reference.has_speakers else None,
        timed_speaker_words=(
            compare_speaker_words(words.expected, words.found, collar_s=COLLAR_S)
            if words and reference.has_speakers and reference.has_times
            else None
        ),
        turns=_compare_turns(reference, hearing, 0.0),
        turns_with_collar=_compare_turns(reference, hearing, TURN_COLLAR_S),
        speakers=_count_speakers(reference, hearing),
        invented=_count_invented(reference, hearing),
        word_times=(
            measure_word_times(words.expected, words.found, words.alignment)
            if words and reference.has_word_times
            else None
        ),
        seams=count_seam_errors(words.expected, words.found, words.alignment, seams_s) if words else None,
    )


def measure_joins(
    reference: Reference, by_join: Mapping[BorderJoin, Hearing]
) -> dict[BorderJoin, tuple[BorderErrors, tuple[SpokenWord, ...]]]:
    """Each join's errors at borders, and the words that got a wrong speaker; empty without speakers and times."""
    measured: dict[BorderJoin, tuple[BorderErrors, tuple[SpokenWord, ...]]] = {}
    for join, hearing in by_join.items():
        words = compare_words(reference, hearing)
        if words is not None and reference.has_speakers and reference.has_times and hearing.turns is not None:
            errors, wrong = find_border_errors(words.expected, words.found, words.alignment)
            measured[join] = errors, tuple(words.expected[index] for index in wrong)
    return measured


def pool_measurements(measurements: Iterable[Measurement]) -> Measurement:
    """Field by field; what one recording has no reference for takes nothing from the others."""
    every = list(measurements)
    pooled = {field.name: pool(getattr(one, field.name) for one in every) for field in fields(Measurement)}
    return Measurement(**pooled)


def _compare_turns(reference: Reference, hearing: Hearing, collar_s: float) -> DiarizationErrors | None:
    if reference.turns is None or hearing.turns is None:
        return None
    return compare_turns(reference.turns, hearing.turns, duration_s=hearing.duration_s, collar_s=collar_s)


def _count_speakers(reference: Reference, hearing: Hearing) -> SpeakerCount | None:
    if reference.turns is None or hearing.turns is None:
        return None
    return count_speakers(reference.turns, hearing.turns)


def _count_invented(reference: Reference, hearing: Hearing) -> InventedWords | None:
    if reference.speech is None:
        return None
    found = normalise_words(hearing.words, hearing.language)
    return count_invented_words(found, reference.speech, hearing.duration_s)
