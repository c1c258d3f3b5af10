"""Where to cut: a recording's speech divided into chunks for an engine. Pure; reads no audio.

Whisper-like engines encode 30 s at a time, pad what is shorter, and tend to invent text on long silence
(Radford et al., "Robust Speech Recognition via Large-Scale Weak Supervision", 2022). So:

1. A silence longer than ``max_inner_silence_s`` separates chunks, unless both sides together take fewer 30 s
   windows than apart: a lone "yes" after five seconds of silence is not worth a window of its own.
2. What lies between is divided evenly, in ``ceil(length / target)`` parts, each cut in the best silence
   around its even place. A second of silence outweighs half a chunk of distance.
3. Where no silence is within reach, the cut goes through speech, and both sides hear ``overlap_s`` of it.

All times are whole samples inside, so that every sample of speech is in exactly one chunk.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise, takewhile
from typing import Final

from erni.errors import ConfigError
from erni.model import SAMPLE_RATE_HZ, Chunk, Plan, Span

PAD_S: Final = 0.15
"""Silence sent along on both sides of a chunk, where there is any: recognisers lose words at hard edges."""
_ENCODER_WINDOW: Final = 30 * SAMPLE_RATE_HZ
_GOOD_SILENCE: Final = 1 * SAMPLE_RATE_HZ
"""A longer silence is no better place to cut."""
_SHORTEST_PART: Final = 0.25
"""No cut closer to the chunk's start than this part of its even length."""

_Stretch = tuple[int, int]


@dataclass(frozen=True, slots=True)
class ChunkLimits:
    """How long chunks are, in seconds.

    ``max_s`` bounds the audio sent, padding and overlap included; a ``target_s`` that does not fit into it is
    lowered. Cuts in silences of at least ``min_silence_s`` need no overlap.

    Raises:
        ConfigError: a length is not positive, or ``max_s`` leaves no room beside padding and overlap.
    """

    target_s: float
    max_s: float
    overlap_s: float
    min_silence_s: float
    max_inner_silence_s: float = 4.0

    def __post_init__(self) -> None:
        if min(self.target_s, self.max_s, self.min_silence_s, self.max_inner_silence_s) <= 0 or self.overlap_s < 0:
            raise ConfigError("Lengths of chunks and silences must be positive.")
        least_target_s = max(2 * self.overlap_s, 4 * self.min_silence_s)
        least_max_s = max(1.0, 4 * self.overlap_s, 8 * self.min_silence_s)
        if self.target_s < least_target_s or self.max_s < least_max_s:
            raise ConfigError(
                f"With an overlap of {self.overlap_s:g} s and silences of {self.min_silence_s:g} s,"
                f" chunks need a target_s of {least_target_s:g} or more and a max_s of {least_max_s:g} or more."
            )


def plan_chunks(duration_s: float, speech: Sequence[Span], limits: ChunkLimits, audio_format: str = "flac") -> Plan:
    """Divide a recording's speech into chunks, in order of time; no speech, no chunks. Takes linear time.

    Own spans partition the whole recording. A chunk's audio is its own span trimmed to speech and ``PAD_S``
    around it, or widened by half the overlap where the cut is in speech.
    """
    recording = round(duration_s * SAMPLE_RATE_HZ)
    stretches = _in_samples(speech, recording)
    lengths = _Lengths.of(limits)
    passages = (_divide(passage, lengths) for passage in _split_at_long_silence(stretches, lengths))
    parts = _share_windows(passages, lengths)
    return Plan(
        duration_s=duration_s,
        speech=tuple(_span(start, end) for start, end in stretches),
        chunks=tuple(_chunks(parts, recording, lengths)),
        audio_format=audio_format,
    )


def plan_one_shot(duration_s: float, speech: Sequence[Span]) -> Plan:
    """The whole recording in one piece, for an engine that wants it so; no speech, no piece."""
    stretches = _in_samples(speech, round(duration_s * SAMPLE_RATE_HZ))
    whole = Span(0.0, duration_s)
    return Plan(
        duration_s=duration_s,
        speech=tuple(_span(start, end) for start, end in stretches),
        chunks=(Chunk(0, own=whole, audio=whole),) if stretches else (),
        is_one_shot=True,
    )


@dataclass(frozen=True, slots=True)
class _Lengths:
    """The limits in samples. ``reach`` is the most speech a chunk may span, so that its audio keeps to
    ``max_s``."""

    target: int
    reach: int
    half_overlap: int
    pad: int
    min_silence: int
    max_inner_silence: int

    @staticmethod
    def of(limits: ChunkLimits) -> _Lengths:
        half_overlap = round(limits.overlap_s * SAMPLE_RATE_HZ / 2)
        pad = round(PAD_S * SAMPLE_RATE_HZ)
        reach = math.floor(limits.max_s * SAMPLE_RATE_HZ) - 2 * max(pad, half_overlap)
        return _Lengths(
            target=min(math.ceil(limits.target_s * SAMPLE_RATE_HZ), reach),
            reach=reach,
            half_overlap=half_overlap,
            pad=pad,
            min_silence=math.ceil(limits.min_silence_s * SAMPLE_RATE_HZ),
            max_inner_silence=math.ceil(limits.max_inner_silence_s * SAMPLE_RATE_HZ),
        )


@dataclass(frozen=True, slots=True)
class _Part:
    """A chunk in the making: its speech. Where ``is_cut_hard``, its end is the next part's start."""

    start: int
    end: int
    is_cut_hard: bool = False


def _in_samples(speech: Sequence[Span], recording: int) -> list[_Stretch]:
    """Speech as whole samples within the recording: sorted, disjoint, never touching, never empty."""
    stretches: list[_Stretch] = []
    for span in sorted(speech, key=lambda span: span.start_s):
        start = max(0, round(span.start_s * SAMPLE_RATE_HZ))
        end = min(recording, round(span.end_s * SAMPLE_RATE_HZ))
        if start >= end:
            continue
        if stretches and start <= stretches[-1][1]:
            stretches[-1] = (stretches[-1][0], max(end, stretches[-1][1]))
        else:
            stretches.append((start, end))
    return stretches


def _split_at_long_silence(stretches: list[_Stretch], lengths: _Lengths) -> Iterator[list[_Stretch]]:
    passage: list[_Stretch] = []
    for stretch in stretches:
        if passage and stretch[0] - passage[-1][1] > lengths.max_inner_silence:
            yield passage
            passage = []
        passage.append(stretch)
    if passage:
        yield passage


def _divide(passage: list[_Stretch], lengths: _Lengths) -> list[_Part]:
    """A passage in parts of nearly even length."""
    parts: list[_Part] = []
    start, end = passage[0][0], passage[-1][1]
    count = math.ceil((end - start) / lengths.target)
    first = 0
    while count > 1:
        while passage[first][1] <= start:
            first += 1
        part, start = _cut_off(start, math.ceil((end - start) / count), _gaps(passage, first), lengths)
        parts.append(part)
        most, least = (math.ceil((end - start) / length) for length in (lengths.target, lengths.reach))
        count = max(least, min(count - 1, most))
    return [*parts, _Part(start, end)]


def _gaps(passage: list[_Stretch], first: int) -> Iterator[_Stretch]:
    """The silences after each stretch from ``first`` on, but the last."""
    for index in range(first, len(passage) - 1):
        yield passage[index][1], passage[index + 1][0]


def _cut_off(start: int, even: int, gaps: Iterator[_Stretch], lengths: _Lengths) -> tuple[_Part, int]:
    """The part that begins at ``start``, and where the next one begins. ``even`` is the length it should
    have."""
    latest = start + lengths.reach
    earliest = start + math.ceil(even * _SHORTEST_PART)
    near = [gap for gap in takewhile(lambda gap: gap[0] <= latest, gaps) if gap[1] > earliest]

    def cost(gap: _Stretch) -> float:
        place = start + even
        distance = max(gap[0] - place, place - gap[1], 0)
        return (2 * distance / even) ** 2 - min(gap[1] - gap[0], _GOOD_SILENCE) / _GOOD_SILENCE

    silences = [gap for gap in near if gap[1] - gap[0] >= lengths.min_silence]
    if silences:
        silence = min(silences, key=cost)
        return _Part(start, silence[0]), silence[1]
    # A breath too short to cut in safely is still better than the middle of a word.
    cut = min(_middle(*min(near, key=cost)), latest) if near else start + even
    return _Part(start, cut, is_cut_hard=True), cut


def _share_windows(passages: Iterable[list[_Part]], lengths: _Lengths) -> list[_Part]:
    """Parts on both sides of a long silence become one where that saves a window."""
    shared: list[_Part] = []
    for first, *others in passages:
        if shared and _is_cheaper_together(shared[-1], first, lengths):
            shared[-1] = _Part(shared[-1].start, first.end, first.is_cut_hard)
        else:
            shared.append(first)
        shared.extend(others)
    return shared


def _is_cheaper_together(before: _Part, after: _Part, lengths: _Lengths) -> bool:
    def windows(start: int, end: int) -> int:
        return math.ceil((end - start + 2 * lengths.pad) / _ENCODER_WINDOW)

    return after.end - before.start <= lengths.target and windows(before.start, after.end) < windows(
        before.start, before.end
    ) + windows(after.start, after.end)


def _chunks(parts: list[_Part], recording: int, lengths: _Lengths) -> Iterator[Chunk]:
    if not parts:
        return
    cuts = [_middle(before.end, after.start) for before, after in pairwise(parts)]
    owns = pairwise([0, *cuts, recording])
    was_cut_hard = False
    for index, (part, (own_start, own_end)) in enumerate(zip(parts, owns, strict=True)):
        start = own_start - lengths.half_overlap if was_cut_hard else max(own_start, part.start - lengths.pad)
        end = own_end + lengths.half_overlap if part.is_cut_hard else min(own_end, part.end + lengths.pad)
        yield Chunk(
            index=index,
            own=_span(own_start, own_end),
            audio=_span(max(0, start), min(recording, end)),
            overlaps_next=part.is_cut_hard and lengths.half_overlap > 0,
        )
        was_cut_hard = part.is_cut_hard


def _middle(start: int, end: int) -> int:
    return (start + end) // 2


def _span(start: int, end: int) -> Span:
    return Span(start / SAMPLE_RATE_HZ, end / SAMPLE_RATE_HZ)
