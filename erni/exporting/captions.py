"""Words to timed captions. Knows neither SubRip nor WebVTT.

The numbers follow the BBC Subtitle Guidelines and Netflix's Timed Text Style Guide (general requirements
and English): two lines of at most 42 characters, at most 7 s and about 1 s at least, some 17 characters a
second, two frames between captions unless they touch, breaks at the ends of sentences and clauses, never
inside a word. Captions of people who talk at once cannot keep all of it: they are cut short, never
overlapped, and no word is left out.

A gap has a caption of its own: a viewer who sees none would believe that nobody spoke.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby, pairwise
from typing import Final

from erni.exporting.breaking import break_lines, split_into_captions
from erni.exporting.labels import clock_span, speaker_label
from erni.exporting.tokens import MAX_CAPTION_MS, Token, make_label, make_tokens
from erni.model import Gap, Transcript

MIN_CAPTION_MS: Final = 1_000
MIN_STEP_MS: Final = 200
"""Captions begin at least this far apart, also where two people talk at once."""
MAX_LAG_MS: Final = 500
"""A caption may wait this long after its first word, to leave the one before it time to be read."""
MIN_GAP_MS: Final = 80
READING_CHARS_PER_S: Final = 17


@dataclass(frozen=True, slots=True)
class Caption:
    """One or two lines of one speaker, whose label is ``None`` where speakers are not told apart.

    With ``gap`` it tells of missing speech instead, and is nobody's.
    """

    start_ms: int
    end_ms: int
    lines: tuple[str, ...]
    speaker: str | None
    gap: Gap | None = None


@dataclass(frozen=True, slots=True)
class _Part:
    """What becomes one caption."""

    tokens: Sequence[Token]
    speaker: str | None = None
    gap: Gap | None = None


def build_captions(transcript: Transcript, *, name_speakers: bool) -> Iterator[Caption]:
    """The whole transcript as captions in order, none overlapping.

    ``name_speakers`` puts ``Speaker 1:`` before each turn where there is more than one speaker. A gap ends a turn
    and is shown where it begins, as long as any caption may be.
    """
    duration_ms = round(transcript.coverage.duration_s * 1000)
    before: tuple[_Part, int] | None = None
    for part in _split(transcript, name_speakers=name_speakers):
        start_ms = _start_ms(part, before[1] if before else None)
        if before:
            yield _caption(*before, start_ms)
        before = part, start_ms
    if before:
        part, start_ms = before
        yield _caption(part, start_ms, max(duration_ms, part.tokens[-1].end_ms, start_ms + MIN_STEP_MS))


def _caption(part: _Part, start_ms: int, next_ms: int) -> Caption:
    end_ms = _end_ms(part.tokens, start_ms, next_ms)
    return Caption(start_ms, end_ms, break_lines(part.tokens), part.speaker, part.gap)


def _split(transcript: Transcript, *, name_speakers: bool) -> Iterator[_Part]:
    """Every turn and gap in order, cut into captions."""
    gaps = sorted(transcript.coverage.gaps, key=lambda gap: gap.span.start_s)
    starts_s = [gap.span.start_s for gap in gaps]
    shown = 0
    has_names = name_speakers and any(a.speaker != b.speaker for a, b in pairwise(transcript.segments))
    turns = groupby(transcript.segments, key=lambda segment: (segment.speaker, bisect_right(starts_s, segment.start_s)))
    for (speaker, gaps_before), turn in turns:
        yield from map(_gap_part, gaps[shown:gaps_before])
        shown = max(shown, gaps_before)
        tokens = make_tokens(word for segment in turn for word in segment.words)
        label = speaker_label(speaker, transcript)
        if has_names and label:
            tokens = _labelled(tokens, label)
        for caption in split_into_captions(tokens):
            yield _Part(caption, label)
    yield from map(_gap_part, gaps[shown:])


def _labelled(tokens: Iterable[Token], label: str) -> Iterator[Token]:
    """A label before the first token, if there is one."""
    for index, token in enumerate(tokens):
        if index == 0:
            yield make_label(label, token.start_ms)
        yield token


def _gap_part(gap: Gap) -> _Part:
    """A line that stays whole; what it says of the end matters where the gap outlasts its caption."""
    start_ms = round(gap.span.start_s * 1000)
    end_ms = min(max(start_ms, round(gap.span.end_s * 1000)), start_ms + MAX_CAPTION_MS)
    return _Part([Token(f"[not transcribed: {clock_span(gap.span)}]", start_ms, end_ms)], gap=gap)


def _start_ms(part: _Part, before_ms: int | None) -> int:
    """When a caption begins: at its first word, or a little later for the sake of the one that began ``before_ms``."""
    spoken_ms = part.tokens[0].start_ms
    if before_ms is None:
        return spoken_ms
    wait_ms = min(before_ms + MIN_CAPTION_MS, spoken_ms + MAX_LAG_MS)
    return max(spoken_ms, wait_ms, before_ms + MIN_STEP_MS)


def _end_ms(tokens: Sequence[Token], start_ms: int, next_ms: int) -> int:
    """When all is spoken and could be read, but not into the next caption, which begins at ``next_ms``."""
    chars = sum(len(token.lead) + len(token.text) for token in tokens) - 1
    reading_ms = max(MIN_CAPTION_MS, chars * 1000 // READING_CHARS_PER_S)
    end_ms = min(max(tokens[-1].end_ms, start_ms + reading_ms), start_ms + MAX_CAPTION_MS)
    if next_ms - end_ms >= MIN_GAP_MS:
        return end_ms
    return next_ms if next_ms - start_ms <= MAX_CAPTION_MS else next_ms - MIN_GAP_MS
