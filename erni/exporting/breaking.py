"""Where a caption ends and where its line breaks. Knows no clock but the tokens' own times.

Both questions are answered by cost: a break is cheap at the end of a sentence, dearer after a clause or a
pause, dear between other words. Captions are the cheapest path through a turn (dynamic programming, as TeX
breaks paragraphs: Knuth & Plass, "Breaking paragraphs into lines", 1981), so that no sentence leaves a
lonely last word behind.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import pairwise
from math import inf
from typing import Final

from erni.exporting.tokens import (
    CLAUSE_ENDS,
    CLOSING_MARKS,
    MAX_CAPTION_MS,
    MAX_LINE_CHARS,
    SENTENCE_ENDS,
    Token,
    join_tokens,
)

MAX_LINES: Final = 2
SHORT_PAUSE_MS: Final = 300
LONG_PAUSE_MS: Final = 1_500
"""A caption never spans a silence this long."""

_CAPTION_COST: Final = 1.0
_CLAUSE_COST: Final = 0.3
_PAUSE_COST: Final = 0.4
_WORD_COST: Final = 1.0
_INSIDE_WORD_COST: Final = 2.0
_CHARS_PER_COST: Final = 12
"""How much more unequal two lines may be for a break that costs one less."""


def split_into_captions(tokens: Iterable[Token]) -> Iterator[Sequence[Token]]:
    """Cut one speaker's tokens into captions of at most two lines and 7 s, at the least total cost.

    Every caption ends at a long silence, so that what lies between two of them is cut by itself.
    """
    cost = 0.0
    for stretch, after in _split_at_silences(tokens):
        captions, cost = _cut_cheapest(stretch, after, cost)
        yield from captions


def _split_at_silences(tokens: Iterable[Token]) -> Iterator[tuple[list[Token], Token | None]]:
    """Each stretch with the token after it, if there is one."""
    stretch: list[Token] = []
    for token in tokens:
        if stretch and token.start_ms - stretch[-1].end_ms >= LONG_PAUSE_MS:
            yield stretch, token
            stretch = []
        stretch.append(token)
    if stretch:
        yield stretch, None


def _cut_cheapest(
    tokens: Sequence[Token], after: Token | None, cost_before: float
) -> tuple[list[Sequence[Token]], float]:
    """The captions, and what they cost together with those before."""
    break_costs = [_break_cost(token, following) for token, following in pairwise(tokens)]
    break_costs.append(_break_cost(tokens[-1], after) if after else 0.0)
    costs = [cost_before] + [inf] * len(tokens)
    starts = [0] * (len(tokens) + 1)
    for start in range(len(tokens)):
        if costs[start] == inf:
            continue
        for end, emptiness in _possible_ends(tokens, start):
            cost = costs[start] + _CAPTION_COST + emptiness**2 + break_costs[end - 1]
            if cost < costs[end]:
                costs[end], starts[end] = cost, start
    captions: list[Sequence[Token]] = []
    end = len(tokens)
    while end > 0:
        captions.append(tokens[starts[end] : end])
        end = starts[end]
    return captions[::-1], costs[-1]


def _possible_ends(tokens: Sequence[Token], start: int) -> Iterator[tuple[int, float]]:
    """Each end a caption from ``start`` may have, with the share of its room (0-1) it would leave empty."""
    room_chars = MAX_LINES * MAX_LINE_CHARS
    # What stands before the first token is not shown; it counts in the loop, so it is taken off here.
    line, line_chars, chars = 1, -len(tokens[start].lead), -len(tokens[start].lead)
    spoken_ms = tokens[start].start_ms
    for index in range(start, len(tokens)):
        text, start_ms, end_ms, lead, _ = tokens[index]
        line_chars += len(lead) + len(text)
        if line_chars > MAX_LINE_CHARS:
            line, line_chars = line + 1, len(text)
        is_too_long = end_ms - tokens[start].start_ms > MAX_CAPTION_MS or start_ms - spoken_ms >= LONG_PAUSE_MS
        if line > MAX_LINES or (index > start and is_too_long):
            return
        chars += len(lead) + len(text)
        spoken_ms = end_ms
        yield index + 1, max(0.0, 1 - chars / room_chars)


def _break_cost(token: Token, after: Token) -> float:
    if token.is_label:
        return inf
    if not after.lead:
        return _INSIDE_WORD_COST
    text = token.text.rstrip(CLOSING_MARKS)
    if text.endswith(SENTENCE_ENDS):
        return 0.0
    if text.endswith(CLAUSE_ENDS):
        return _CLAUSE_COST
    return _PAUSE_COST if after.start_ms - token.end_ms >= SHORT_PAUSE_MS else _WORD_COST


def break_lines(tokens: Sequence[Token]) -> tuple[str, ...]:
    """One line where it fits, else two of nearly equal length, the upper preferably ending a clause."""
    whole = join_tokens(tokens)
    if len(whole) <= MAX_LINE_CHARS:
        return (whole,)
    best: tuple[float, tuple[str, str]] = (inf, (whole, ""))
    for at in range(1, len(tokens)):
        lines = join_tokens(tokens[:at]), join_tokens(tokens[at:])
        if max(len(lines[0]), len(lines[1])) > MAX_LINE_CHARS:
            continue
        break_cost = min(_break_cost(tokens[at - 1], tokens[at]), _INSIDE_WORD_COST)
        cost = abs(len(lines[0]) - len(lines[1])) / _CHARS_PER_COST + break_cost
        best = min(best, (cost, lines))
    return best[1]
