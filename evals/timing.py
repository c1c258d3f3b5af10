"""Words in time: those written where nobody spoke, and how far the others are from their moment. Knows no files."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from erni.model import Span
from evals.aligning import Alignment
from evals.counts import Counts
from evals.normalising import SpokenWord

GROWN_S: Final = 0.5
"""Speech is taken to reach this far beyond its reference: people mark its borders differently."""


@dataclass(frozen=True, slots=True)
class InventedWords(Counts):
    """Words found in ``silence_s`` seconds where nobody speaks."""

    words: int
    silence_s: float


@dataclass(frozen=True, slots=True)
class WordTimes(Counts):
    """For each rightly recognised word, how far its start is from the true one, in seconds, without sign."""

    errors_s: tuple[float, ...]

    @property
    def median_s(self) -> float | None:
        return float(np.median(self.errors_s)) if self.errors_s else None

    @property
    def percentile_95_s(self) -> float | None:
        return float(np.percentile(self.errors_s, 95)) if self.errors_s else None


def count_invented_words(found: Sequence[SpokenWord], speech: Sequence[Span], duration_s: float) -> InventedWords:
    """Words whose middle lies outside all speech; in a recording without speech, all words."""
    talking = _grow(speech, duration_s)
    starts = [span.start_s for span in talking]

    def is_silent(middle_s: float) -> bool:
        before = bisect_right(starts, middle_s) - 1
        return before < 0 or talking[before].end_s <= middle_s

    words = sum(is_silent(word.middle_s) for word in found)
    return InventedWords(words, duration_s - sum(span.duration_s for span in talking))


def measure_word_times(expected: Sequence[SpokenWord], found: Sequence[SpokenWord], alignment: Alignment) -> WordTimes:
    spans = [(expected[one].span, found[other].span) for one, other in alignment.matched]
    return WordTimes(tuple(abs(one.start_s - other.start_s) for one, other in spans if one and other))


def _grow(speech: Sequence[Span], duration_s: float) -> list[Span]:
    """Longer at both ends, within the recording, and merged where they meet; in order."""
    grown: list[Span] = []
    for span in sorted(speech, key=lambda span: span.start_s):
        start_s, end_s = max(0.0, span.start_s - GROWN_S), min(duration_s, span.end_s + GROWN_S)
        if end_s <= start_s:
            continue
        if grown and start_s <= grown[-1].end_s:
            grown[-1] = Span(grown[-1].start_s, max(grown[-1].end_s, end_s))
        else:
            grown.append(Span(start_s, end_s))
    return grown
