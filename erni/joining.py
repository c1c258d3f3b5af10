"""Joins what the engines returned for one recording into one transcript. Decides only; reads and writes
nothing.

The order: put each chunk's words in their place, merge the seams, take out what nobody said, give every word
a speaker, break the words into lines, and account for every spoken second.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import chain
from typing import Final

from erni.coverage import drop_invented, drop_loops, find_lost_speech, measure_coverage
from erni.languages import HeardLanguage, decide_language
from erni.model import (
    Chunk,
    Diarization,
    EngineUse,
    Gap,
    JoinStrategy,
    Notice,
    PieceUse,
    Plan,
    Recognition,
    Seam,
    Span,
    SpeakerName,
    Transcript,
    Word,
)
from erni.packing import PackedWords, pack_words
from erni.seams import SharedAudio, merge_words
from erni.segmenting import split_segments
from erni.speakers import assign_speakers, number_speakers, speaker_numbers

_SHORTEST_WORD_S: Final = 0.02
"""One step of Whisper's clock; a word is never shorter."""


@dataclass(frozen=True, slots=True)
class JoinInput:
    """All a join needs. ``recognitions`` by chunk index; ``diarization`` is ``None`` where there is none.

    ``notices`` are those of earlier steps; the join puts its own behind them. ``names`` are of the diarization's
    labels.
    """

    plan: Plan
    recognitions: Mapping[int, Recognition]
    diarization: Diarization | None = None
    gaps: Sequence[Gap] = ()
    strategy: JoinStrategy = "boundary"
    notices: Sequence[Notice] = ()
    engines: Sequence[EngineUse] = ()
    pieces: Sequence[PieceUse] = ()
    names: Sequence[SpeakerName] = ()


@dataclass(frozen=True, slots=True)
class Stitched:
    """The words of all chunks in order of their start, and how the chunks were joined."""

    words: PackedWords
    seams: tuple[Seam, ...]


def join_transcript(inputs: JoinInput) -> Transcript:
    """Join everything into one transcript; speakers are called ``speaker_1``, ``speaker_2`` by appearance."""
    plan = inputs.plan
    stitched = stitch(plan, inputs.recognitions)
    words, invented = drop_invented(stitched.words, plan.speech)
    words, loops = drop_loops(words)
    lost = find_lost_speech(words, plan.speech, inputs.gaps)
    speakers: tuple[str, ...] = ()
    mute: tuple[Notice, ...] = ()
    names: tuple[SpeakerName, ...] = ()
    if inputs.diarization is not None:
        assigned = assign_speakers(words, inputs.diarization.turns, inputs.strategy)
        names = _number_names(inputs.names, speaker_numbers(pack_words(assigned)))
        words, speakers = number_speakers(assigned)
        mute = _check_speakers(words, speakers)
    language, mixed = decide_language(list(_heard_languages(plan, inputs.recognitions)))
    notices = chain(inputs.notices, _engine_warnings(plan, inputs.recognitions), mixed, invented, loops, lost, mute)
    return Transcript(
        language=language,
        segments=split_segments(words),
        speakers=speakers,
        coverage=measure_coverage(plan, words, inputs.gaps, stitched.seams),
        engines=tuple(dict.fromkeys(inputs.engines)),
        warnings=tuple(dict.fromkeys(notices)),
        pieces=tuple(inputs.pieces),
        names=names,
    )


def _number_names(names: Sequence[SpeakerName], numbers: Mapping[str, str]) -> tuple[SpeakerName, ...]:
    """Names of the diarization's speakers as those of the transcript's; who says no word is not in it."""
    named = (replace(name, speaker=numbers[name.speaker]) for name in names if name.speaker in numbers)
    return tuple(sorted(named, key=lambda name: list(numbers.values()).index(name.speaker)))


def stitch(plan: Plan, recognitions: Mapping[int, Recognition]) -> Stitched:
    """Put the chunks' words on the recording's clock and merge neighbours.

    At a cut in silence the audio of both sides is disjoint and every word stays. Where the audio overlaps,
    words both sides heard are kept once (``erni.seams``). A chunk without a recognition is a gap: its
    neighbours keep all they heard, also in the audio they shared with it, and no seam is recorded.
    """
    seams: list[Seam] = []
    words = pack_words(_in_order(_merged_words(plan, recognitions, seams)))
    return Stitched(words, tuple(seams))


def _merged_words(plan: Plan, recognitions: Mapping[int, Recognition], seams: list[Seam]) -> Iterator[Word]:
    """Chunk by chunk, each held back until it is clear what of it the next one heard too; appends to ``seams``."""
    held: list[Word] = []
    previous: Chunk | None = None
    for chunk in plan.chunks:
        recognition = recognitions.get(chunk.index)
        if recognition is None:
            previous = None
            continue
        placed = list(place_words(chunk, recognition.words))
        if previous is not None:
            seams.append(_merge(held, placed, previous, chunk))
        yield from held
        held, previous = placed, chunk
    yield from held


def place_words(chunk: Chunk, words: Sequence[Word]) -> tuple[Word, ...]:
    """Move a chunk's words to the recording's clock, inside the chunk's audio and in order.

    Recognisers place words behind the end of the audio, let them end before they start or give them no length
    (nyrahealth/CrisperWhisper#41). The order of the words is trusted more than their times: starts that break
    the longest run of starts in order are replaced by the start of the next word in order, and such a word's
    timing becomes ``estimated``.
    """
    spoken = [word for word in words if word.text.strip()]
    last_s = max(chunk.audio.start_s, chunk.audio.end_s - _SHORTEST_WORD_S)
    starts = [min(max(chunk.audio.start_s + word.start_s, chunk.audio.start_s), last_s) for word in spoken]
    trusted = _longest_run_in_order(starts)
    placed: list[Word] = []
    following_s = last_s
    for index in reversed(range(len(spoken))):
        word = spoken[index]
        if index in trusted:
            following_s = starts[index]
            end_s = min(chunk.audio.start_s + word.end_s, chunk.audio.end_s)
            word = replace(word, start_s=following_s, end_s=max(end_s, following_s + _SHORTEST_WORD_S))
        else:
            word = replace(word, start_s=following_s, end_s=following_s + _SHORTEST_WORD_S, timing="estimated")
        placed.append(word)
    return tuple(reversed(placed))


def _longest_run_in_order(values: Sequence[float]) -> set[int]:
    """Indices of a longest non-decreasing subsequence (patience sorting, n log n)."""
    tails: list[float] = []
    tail_at: list[int] = []
    before: list[int | None] = []
    for index, value in enumerate(values):
        length = bisect_right(tails, value)
        before.append(tail_at[length - 1] if length else None)
        tails[length : length + 1] = [value]
        tail_at[length : length + 1] = [index]
    run: set[int] = set()
    at = tail_at[-1] if tail_at else None
    while at is not None:
        run.add(at)
        at = before[at]
    return run


def _merge(left: list[Word], right: list[Word], previous: Chunk, chunk: Chunk) -> Seam:
    """Merge two neighbours' words in place where their audio overlaps: what both have moves to the right one."""
    cut_s = previous.own.end_s
    shared = SharedAudio(Span(chunk.audio.start_s, previous.audio.end_s), cut_s)
    if not previous.overlaps_next or shared.span.duration_s <= 0:
        return Seam(cut_s, "silence")
    first = len(left)
    while first and shared.holds(left[first - 1]):
        first -= 1
    behind = next((i for i, word in enumerate(right) if not shared.holds(word)), len(right))
    merged = merge_words(left[first:], right[:behind], shared)
    right[:behind] = merged.words
    del left[first:]
    return Seam(cut_s, "overlap", merged.matched, merged.dropped)


def _in_order(words: Iterable[Word]) -> Iterator[Word]:
    """The same words with starts that never go back: two sides of a seam may differ by a few hundredths."""
    start_s = -math.inf
    for word in words:
        if word.start_s < start_s:
            yield replace(word, start_s=start_s, end_s=max(word.end_s, start_s + _SHORTEST_WORD_S))
        else:
            start_s = word.start_s
            yield word


def _engine_warnings(plan: Plan, recognitions: Mapping[int, Recognition]) -> Iterator[Notice]:
    """The engines' own warnings, on the recording's clock."""
    for chunk in plan.chunks:
        recognition = recognitions.get(chunk.index)
        for warning in recognition.warnings if recognition else ():
            span = warning.span
            if span is not None:
                span = Span(chunk.audio.start_s + span.start_s, chunk.audio.start_s + span.end_s)
            yield replace(warning, span=span)


def _check_speakers(words: Sequence[Word], speakers: Sequence[str]) -> tuple[Notice, ...]:
    if speakers or not words:
        return ()
    return (Notice("no_speakers_found", "The diarizer found no speaker turns; words carry no speaker."),)


def _heard_languages(plan: Plan, recognitions: Mapping[int, Recognition]) -> Iterator[HeardLanguage]:
    for chunk in plan.chunks:
        heard = recognitions.get(chunk.index)
        if heard is not None and heard.language is not None:
            yield HeardLanguage(chunk.own, heard.language, heard.language_confidence, len(heard.words))
