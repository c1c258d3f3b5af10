"""Breaks a transcript's words into lines for reading. Knows nothing of captions, whose lines are shorter."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from typing import Final

from erni.model import Segment, Word
from erni.packing import PackedSegments, pack_words

PAUSE_S: Final = 1.5
"""A pause this long starts a new line."""
LONG_S: Final = 15.0
LONG_CHARS: Final = 250
"""A line longer than this ends with its sentence ..."""
LONGEST_S: Final = 60.0
LONGEST_CHARS: Final = 1000
"""... and one longer than this ends anywhere: some engines write no punctuation."""

_SENTENCE_ENDS: Final = (".", "?", "!", "\u2026", "\u3002", "\uff1f", "\uff01", "\u061f", "\u0964")
"""Western marks, ellipsis, the full-width marks of Chinese and Japanese, Arabic question mark, danda."""
_CLOSING_MARKS: Final = "\"'\u201c\u201d\u2019\u00bb)]"
_TITLE: Final = re.compile(r"(M(r|rs|s|essrs|me|lle)|Dr|Prof|St|Rev|Gen|Col|Capt|Lt|Sgt|Gov|Sen|Hr|Fr|Sra|Dra)\.")
"""The full stop of these does not end a sentence: a name follows."""


def ends_sentence(text: str) -> bool:
    """Whether a word ends a sentence, by its punctuation."""
    word = text.strip(_CLOSING_MARKS)
    return word.endswith(_SENTENCE_ENDS) and not _TITLE.fullmatch(word)


def split_segments(words: Sequence[Word]) -> Sequence[Segment]:
    """Lines of one speaker each: a new one at a change of speaker, a long pause, and where a line gets long.

    Every word is in exactly one segment, in order; no segment is empty.
    """
    segments = PackedSegments(pack_words(words))
    for segment in _split(segments.words):
        segments.add(segment)
    return segments


def _split(words: Iterable[Word]) -> Iterator[Segment]:
    line: list[Word] = []
    chars = 0
    for word in words:
        if line and _starts_line(line, chars, word):
            yield _segment(line)
            line, chars = [], 0
        line.append(word)
        chars += len(word.text) + 1
    if line:
        yield _segment(line)


def _starts_line(line: Sequence[Word], chars: int, word: Word) -> bool:
    first, last = line[0], line[-1]
    if word.speaker != last.speaker or word.start_s - last.end_s >= PAUSE_S:
        return True
    elapsed_s = last.end_s - first.start_s
    if ends_sentence(last.text):
        return elapsed_s >= LONG_S or chars >= LONG_CHARS
    return elapsed_s >= LONGEST_S or chars >= LONGEST_CHARS


def _segment(line: Sequence[Word]) -> Segment:
    return Segment(line[0].start_s, max(word.end_s for word in line), line[0].speaker, tuple(line))
