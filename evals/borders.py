"""Words at changes of speaker, where joining words and turns goes wrong. Knows words, not turns or files."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Final, Literal

from erni.model import JoinStrategy
from evals.aligning import Alignment
from evals.counts import Counts, share
from evals.naming import name_speakers
from evals.normalising import SpokenWord

BorderJoin = JoinStrategy | Literal["plain"]
"""``plain`` is ``overlap`` over turns that were not looked at closely where the speaker changes."""
BORDER_S: Final = 1.0
"""A word whose middle is this close to a change of speaker is a border word."""


@dataclass(frozen=True, slots=True)
class BorderErrors(Counts):
    """``words`` near a change of speaker for which some word was recognised; ``errors`` have another speaker."""

    words: int
    errors: int

    @property
    def rate(self) -> float | None:
        return share(self.errors, self.words)


def find_border_words(words: Sequence[SpokenWord]) -> set[int]:
    """Indices of the border words among ``words``, which have times and are in order of their starts.

    A change lies between two neighbouring words of different speakers; the silence between them belongs to it, so a
    word after a long pause is as near to the change as one that follows at once.
    """
    by_middle = sorted(range(len(words)), key=lambda index: words[index].middle_s)
    middles = [words[index].middle_s for index in by_middle]
    border: set[int] = set()
    for word, following in pairwise(words):
        if word.speaker == following.speaker or word.span is None or following.span is None:
            continue
        first_s, last_s = sorted((word.span.end_s, following.span.start_s))
        first, behind = bisect_left(middles, first_s - BORDER_S), bisect_right(middles, last_s + BORDER_S)
        border.update(by_middle[first:behind])
    return border


def find_border_errors(
    expected: Sequence[SpokenWord], found: Sequence[SpokenWord], alignment: Alignment
) -> tuple[BorderErrors, list[int]]:
    """The count, and the expected words whose recognised word has another speaker than they."""
    names = name_speakers((expected[one].speaker, found[other].speaker) for one, other in alignment.pairs)
    border = find_border_words(expected)
    judged = [(one, other) for one, other in alignment.pairs if one in border]
    wrong = [one for one, other in judged if names.get(found[other].speaker or "") != expected[one].speaker]
    return BorderErrors(len(judged), len(wrong)), wrong
