"""Merges the words two neighbouring chunks heard in the audio they share. Knows words and times, not chunks.

Where no silence could be found, neighbours overlap and both engine calls hear the words around the cut, often
with other punctuation, other spelling and slightly other times. Three steps settle which are kept:

1. *Align*: pairs of words alike in text and close in time, in order, by dynamic programming. A pair is one
   word.
2. *Group* what is left between two pairs: words of both sides that fill the same time are two readings of one
   thing ("fifty five" and "55").
3. *Choose*: a pair or group before the cut is the left side's, one behind it the right side's, unless that
   side heard it at the very edge of its audio, where words are cut in half.

A word nobody else heard always stays: a duplicate that can be seen is better than a deletion that cannot.
(Exact longest common subsequences miss reworded overlaps, loose fuzzy matching drops real words:
CrispStrobe/CrispASR#378.)
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher
from typing import Final

from erni.model import Span, Word

_GATE_S: Final = 0.6
"""Two chunks' times for one word differ by less than this."""
_ESTIMATED_GATE_S: Final = 2.5
"""The same where a time is a guess, not a measurement."""
_JITTER_S: Final = 0.1
"""Scale on which a match loses value with distance: of two equal words in a row, each finds its own twin."""
_ALIKE: Final = 0.7
"""Least ratio of matching letters in one word heard twice ("they" and "them" are alike, "the" and "a" are
not).
"""
_EDGE_S: Final = 0.15
"""A word this close to the edge of its audio may be half a word."""
_MUCH_MORE: Final = 2.5
"""A reading this many times as long as the other is kept, wherever it lies."""
_LETTERS_PER_DIGIT: Final = 4
"""What a digit counts for beside words: "55" is "fifty five"."""
_REACH_S: Final = 0.1
"""How far outside the shared audio a shared word may have been placed."""


@dataclass(frozen=True, slots=True)
class SharedAudio:
    """Audio two neighbouring chunks both contain, and the cut in it."""

    span: Span
    cut_s: float

    def holds(self, word: Word) -> bool:
        """Whether both sides may have heard ``word``."""
        return word.end_s > self.span.start_s - _REACH_S and word.start_s < self.span.end_s + _REACH_S


@dataclass(frozen=True, slots=True)
class MergedWords:
    """The words kept, in order; how many both sides heard; the other readings left out."""

    words: tuple[Word, ...]
    matched: int
    dropped: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class _Heard:
    """A word as one side heard it; ``is_doubtful`` when it lies at the edge of that side's audio."""

    word: Word
    is_left: bool
    is_doubtful: bool


def merge_words(left: Sequence[Word], right: Sequence[Word], shared: SharedAudio) -> MergedWords:
    """Merge what each side heard in the shared audio (``SharedAudio.holds``), both in order of time."""
    edge = shared.span
    lefts = [_Heard(word, is_left=True, is_doubtful=word.end_s > edge.end_s - _EDGE_S) for word in left]
    rights = [_Heard(word, is_left=False, is_doubtful=word.start_s < edge.start_s + _EDGE_S) for word in right]
    pairs = _align(left, right)
    kept: list[Word] = []
    dropped: list[str] = []
    done_left = done_right = 0
    for i, j in [*pairs, (len(left), len(right))]:
        for group in _group_rivals(lefts[done_left:i] + rights[done_right:j]):
            keeps_left = _is_left_chosen(group, shared.cut_s)
            kept += [heard.word for heard in group if heard.is_left == keeps_left]
            dropped += [heard.word.text for heard in group if heard.is_left != keeps_left]
        if i < len(left):
            keeps_left = _is_left_chosen([lefts[i], rights[j]], shared.cut_s)
            kept.append(left[i] if keeps_left else right[j])
        done_left, done_right = i + 1, j + 1
    return MergedWords(tuple(kept), len(pairs), tuple(dropped))


def normalise(text: str) -> str:
    """The letters and digits of ``text``, caseless; the text itself where it has none."""
    return "".join(filter(str.isalnum, text.casefold())) or text


def _align(left: Sequence[Word], right: Sequence[Word]) -> list[tuple[int, int]]:
    """Indices of the words both sides heard, in order: the alignment of greatest total likeness."""
    best = [[0.0] * (len(right) + 1) for _ in range(len(left) + 1)]
    likeness = [[_likeness(a, b) for b in right] for a in left]
    for i in reversed(range(len(left))):
        for j in reversed(range(len(right))):
            score = likeness[i][j]
            paired = best[i + 1][j + 1] + score if score else 0.0
            best[i][j] = max(paired, best[i + 1][j], best[i][j + 1])
    pairs, i, j = [], 0, 0
    while i < len(left) and j < len(right):
        if best[i][j] == best[i + 1][j]:
            i += 1
        elif best[i][j] == best[i][j + 1]:
            j += 1
        else:
            pairs.append((i, j))
            i, j = i + 1, j + 1
    return pairs


def _likeness(left: Word, right: Word) -> float:
    """0 for two different words, up to 1 for one word heard twice: alike in text, close in time."""
    is_estimated = "estimated" in (left.timing, right.timing)
    # Recognisers stretch a word over the pause on one side of it, so that the other end is the one to trust.
    apart_s = min(abs(left.start_s - right.start_s), abs(left.end_s - right.end_s))
    if apart_s > (_ESTIMATED_GATE_S if is_estimated else _GATE_S):
        return 0.0
    a, b = normalise(left.text), normalise(right.text)
    ratio = 1.0 if a == b else SequenceMatcher(None, a, b, autojunk=False).ratio()
    return ratio / (1 + apart_s / _JITTER_S) if ratio >= _ALIKE else 0.0


def _group_rivals(heard: list[_Heard]) -> Iterator[list[_Heard]]:
    """Words of both sides that fill the same time, together; every other word alone. In order of time."""
    group: list[_Heard] = []
    for one in sorted(heard, key=lambda one: (one.word.start_s, one.word.end_s)):
        if group and not any(_are_rivals(one, other) for other in group):
            yield group
            group = []
        group.append(one)
    if group:
        yield group


def _are_rivals(one: _Heard, other: _Heard) -> bool:
    """Whether one word can stand for the other: both sides heard something in the same time."""
    if one.is_left == other.is_left:
        return False
    a, b = Span(one.word.start_s, one.word.end_s), Span(other.word.start_s, other.word.end_s)
    share = 0.0 if one.is_doubtful or other.is_doubtful else min(a.duration_s, b.duration_s) / 2
    return a.overlap_s(b) > share


def _is_left_chosen(group: Sequence[_Heard], cut_s: float) -> bool:
    """Whose reading of a group is kept: the one that says much more in whole words (one word stretched over a
    sentence must not stand for it), else the one without doubtful words, else that of the side of the cut it
    lies on.
    """
    left = [heard for heard in group if heard.is_left]
    right = [heard for heard in group if not heard.is_left]
    whole_left = [heard for heard in left if not heard.is_doubtful]
    whole_right = [heard for heard in right if not heard.is_doubtful]
    is_any_whole = bool(whole_left or whole_right)
    left_text = _text_length(whole_left if is_any_whole else left)
    right_text = _text_length(whole_right if is_any_whole else right)
    if max(left_text, right_text) > _MUCH_MORE * min(left_text, right_text):
        return left_text > right_text
    if (whole_left == left) != (whole_right == right):
        return whole_left == left
    return sum(heard.word.middle_s for heard in group) / len(group) < cut_s


def _text_length(heard: Sequence[_Heard]) -> int:
    """Letters, as if numbers were spelled out; at least one per word."""
    texts = [normalise(one.word.text) for one in heard]
    return sum(len(text) + (_LETTERS_PER_DIGIT - 1) * sum(map(str.isdigit, text)) for text in texts)
