"""Words to tokens: the pieces of text that stay whole on a line, with times in milliseconds.

A token is a word, except where a word is wider than a line (scripts written without spaces, web addresses).
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from typing import Final, NamedTuple

from erni.model import Word

MAX_LINE_CHARS: Final = 42
MAX_CAPTION_MS: Final = 7_000
"""Nothing is shown longer, whatever an engine says of a word's length."""

# Punctuation of every script is meant here, look-alikes included.
SENTENCE_ENDS: Final = tuple(".!?…。！？؟।")
CLAUSE_ENDS: Final = tuple(",;:–—，、；：،؛")
CLOSING_MARKS: Final = "\"'”’»)]」』）"
_CUT_AFTER: Final = frozenset((*SENTENCE_ENDS, *CLAUSE_ENDS, *CLOSING_MARKS))


class Token(NamedTuple):
    """At most ``MAX_LINE_CHARS`` characters without white space.

    ``lead`` is what stands before it on the same line: nothing inside a cut word. ``is_label`` marks a
    speaker's label, which stays with the word after it.
    """

    text: str
    start_ms: int
    end_ms: int
    lead: str = " "
    is_label: bool = False


def make_tokens(words: Iterable[Word]) -> Iterator[Token]:
    """All text of ``words`` in order. Starts never run backwards, ends never lie before their start."""
    earliest_ms = 0
    for word in words:
        start_ms = max(round(word.start_s * 1000), earliest_ms)
        end_ms = min(max(round(word.end_s * 1000), start_ms), start_ms + MAX_CAPTION_MS)
        yield from _word_tokens(word.text, start_ms, end_ms)
        earliest_ms = start_ms


def _word_tokens(text: str, start_ms: int, end_ms: int) -> Iterator[Token]:
    """One token for nearly every word; a cut word's time is shared out by characters."""
    if len(text) <= MAX_LINE_CHARS and text.isalnum():
        yield Token(text, start_ms, end_ms)
        return
    pieces = [piece for part in text.split() for piece in _cut(part)]
    ms_per_char = (end_ms - start_ms) / max(1, sum(len(piece) for piece, _ in pieces))
    done_chars = 0
    for piece, lead in pieces:
        piece_start_ms = start_ms + round(done_chars * ms_per_char)
        done_chars += len(piece)
        yield Token(piece, piece_start_ms, start_ms + round(done_chars * ms_per_char), lead)


def _cut(part: str) -> Iterator[tuple[str, str]]:
    """Pieces that fit a line, each with what stands before it."""
    lead = " "
    while len(part) > MAX_LINE_CHARS:
        at = _cut_position(part)
        yield part[:at], lead
        part, lead = part[at:], ""
    yield part, lead


def _cut_position(part: str) -> int:
    """After punctuation in the second half of the line, else at its end, but not before a combining mark."""
    for at in range(MAX_LINE_CHARS, MAX_LINE_CHARS // 2, -1):
        if part[at - 1] in _CUT_AFTER:
            return at
    at = MAX_LINE_CHARS
    while at > 1 and unicodedata.category(part[at]).startswith("M"):
        at -= 1
    return at


def make_label(label: str, start_ms: int) -> Token:
    """``label:`` before a speaker's first word, shortened where it alone would overfill a line."""
    return Token(f"{label[: MAX_LINE_CHARS - 1]}:", start_ms, start_ms, is_label=True)


def join_tokens(tokens: Sequence[Token]) -> str:
    """The text of one line."""
    return tokens[0].text + "".join(token.lead + token.text for token in tokens[1:])
