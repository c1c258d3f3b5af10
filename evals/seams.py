"""What chunking does to the words around its cuts: said twice, or lost. Knows words and cuts, not chunks."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

from erni.model import Span
from evals.aligning import Alignment
from evals.counts import Counts
from evals.normalising import SpokenWord

NEAR_S: Final = 2.0
"""A word whose middle is this close to a cut may have suffered from it."""


@dataclass(frozen=True, slots=True)
class SeamErrors(Counts):
    """``duplicates``: words found once more than they were said; ``losses``: words not found. Both near a seam."""

    seams: int
    duplicates: int
    losses: int


def count_seam_errors(
    expected: Sequence[SpokenWord], found: Sequence[SpokenWord], alignment: Alignment, seams_s: Sequence[float]
) -> SeamErrors:
    """A duplicate is an inserted word that repeats a rightly recognised one near the same seam."""
    cuts = sorted(seams_s)
    right: dict[int, set[str]] = {}
    for _, index in alignment.matched:
        for cut in _near(found[index].middle_s, cuts):
            right.setdefault(cut, set()).add(found[index].text)
    duplicates = [
        index
        for index in alignment.inserted
        if any(found[index].text in right.get(cut, ()) for cut in _near(found[index].middle_s, cuts))
    ]
    losses = [index for index in alignment.deleted if _near(expected[index].middle_s, cuts)]
    return SeamErrors(len(cuts), len(duplicates), len(losses))


def place_words(expected: Sequence[SpokenWord], found: Sequence[SpokenWord], alignment: Alignment) -> list[SpokenWord]:
    """Give expected words the times of the found ones; what was not found is spread between its neighbours."""
    partner = dict(alignment.pairs)
    spans: list[Span | None] = [
        found[partner[index]].span if index in partner else None for index in range(len(expected))
    ]
    known = [index for index, span in enumerate(spans) if span is not None]
    placed = []
    for index, word in enumerate(expected):
        span = spans[index] or _between(index, known, spans)
        placed.append(replace(word, span=span))
    return placed


def _between(index: int, known: Sequence[int], spans: Sequence[Span | None]) -> Span:
    at = bisect_left(known, index)
    before = spans[known[at - 1]] if at else None
    behind = spans[known[at]] if at < len(known) else None
    start_s = before.end_s if before else (behind.start_s if behind else 0.0)
    end_s = behind.start_s if behind else start_s
    first = known[at - 1] if at else -1
    last = known[at] if at < len(known) else len(spans)
    middle_s = start_s + (end_s - start_s) * (index - first) / (last - first)
    return Span(middle_s, middle_s)


def _near(middle_s: float, cuts: Sequence[float]) -> range:
    """Numbers of the cuts close to a time."""
    return range(bisect_left(cuts, middle_s - NEAR_S), bisect_right(cuts, middle_s + NEAR_S))
