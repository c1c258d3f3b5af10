"""Puts a vendor's written text and its times together: words with punctuation where its timed words are bare, and
guessed times where it gives none. Pure; knows no vendor.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from difflib import SequenceMatcher
from itertools import accumulate
from typing import Final

from erni.model import Span, Word

_TOKEN: Final = re.compile(
    # Scripts written without spaces fall into characters, as faster-whisper splits them (its ``tokenizer.py``).
    r"[\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff][^\w\s]*"
    r"|[^\s\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff]+"
)
_UNSPOKEN: Final = re.compile(r"^[\s\-–—…·•♪♫\"'“”‘’«».,;:!?()\[\]。、，？！]*$")


@dataclass(frozen=True, slots=True)
class HeardWord:
    """A word, or a piece of one, as a vendor times it."""

    text: str
    start_s: float
    end_s: float
    confidence: float | None = None


def split_text(text: str) -> list[str]:
    """The words as written; punctuation that stands alone is none."""
    return [token for token in _TOKEN.findall(text) if not _UNSPOKEN.match(token)]


def spread_text(text: str, span: Span) -> list[Word]:
    """The text's words over the span, each as long as it is written; their times are guessed."""
    return _spread(split_text(text), span)


def time_text(text: str, heard: Sequence[HeardWord], span: Span) -> list[Word]:
    """The text's words with the times of ``heard``, which may be bare of punctuation and cut differently.

    Where both spell the same, times are exact, unless a word's border lies within a heard one. What only the text has,
    or has in other letters, is spread over its place; what was only heard is kept as it is. Without anything heard the
    text is spread over the span.
    """
    tokens = split_text(text)
    heard = [word for word in heard if not _UNSPOKEN.match(word.text)]
    words: list[Word] = []
    for block in _match(tokens, heard):
        start_s = words[-1].end_s if words else span.start_s
        end_s = heard[block.heard.stop].start_s if block.heard.stop < len(heard) else span.end_s
        words += _time_block(tokens[block.tokens], heard[block.heard], Span(start_s, max(start_s, end_s)))
    return words


@dataclass(frozen=True, slots=True)
class _Block:
    tokens: slice
    heard: slice


def _match(tokens: Sequence[str], heard: Sequence[HeardWord]) -> Iterator[_Block]:
    """Which tokens belong to which heard words: all at once where both spell the same, as is usual."""
    written, spoken = [_bare(token) for token in tokens], [_bare(word.text) for word in heard]
    if "".join(written) == "".join(spoken):
        yield _Block(slice(0, len(tokens)), slice(0, len(heard)))
        return
    matcher = SequenceMatcher(None, written, spoken, autojunk=False)
    for _, from_token, to_token, from_heard, to_heard in matcher.get_opcodes():
        yield _Block(slice(from_token, to_token), slice(from_heard, to_heard))


def _time_block(tokens: Sequence[str], heard: Sequence[HeardWord], gap: Span) -> list[Word]:
    if not heard:
        return _spread(tokens, gap)
    if not tokens:
        return [Word(word.text.strip(), word.start_s, word.end_s, word.confidence) for word in heard]
    if "".join(map(_bare, tokens)) == "".join(_bare(word.text) for word in heard):
        return list(_walk(tokens, heard))
    return _spread(tokens, Span(heard[0].start_s, max(word.end_s for word in heard)))


def _walk(tokens: Sequence[str], heard: Sequence[HeardWord]) -> Iterator[Word]:
    """Letter by letter: a token lasts from its first letter to its last, each a part of the heard word it is in."""
    letters = [letter for word in heard for letter in _letters(word)]
    borders = {0, *accumulate(len(_bare(word.text)) for word in heard)}
    first = 0
    for token in tokens:
        end = first + len(_bare(token))
        own = letters[first:end]
        confidences = [letter.confidence for letter in own if letter.confidence is not None]
        is_exact = {first, end} <= borders
        yield Word(
            token,
            own[0].start_s,
            max(own[0].start_s, own[-1].end_s),
            min(confidences, default=None),
            "exact" if is_exact else "estimated",
        )
        first = end


def _letters(word: HeardWord) -> Iterator[HeardWord]:
    bare = _bare(word.text)
    step_s = (word.end_s - word.start_s) / len(bare)
    for number, letter in enumerate(bare):
        start_s = word.start_s + number * step_s
        # The last one ends with the word to the digit.
        end_s = word.end_s if number == len(bare) - 1 else start_s + step_s
        yield replace(word, text=letter, start_s=start_s, end_s=end_s)


def _spread(tokens: Sequence[str], span: Span) -> list[Word]:
    whole = sum(map(len, tokens))
    words: list[Word] = []
    done = 0
    for token in tokens:
        start_s = span.start_s + span.duration_s * done / whole
        done += len(token)
        end_s = span.start_s + span.duration_s * done / whole
        words.append(Word(token, round(start_s, 3), round(end_s, 3), timing="estimated"))
    return words


def _bare(text: str) -> str:
    """What both spellings share; a symbol that is all there is stands for itself."""
    return "".join(filter(str.isalnum, text.casefold())) or text.strip()
