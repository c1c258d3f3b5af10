"""When each word of a text was said, from where some of them were heard: the rest is guessed. Pure; hears nothing.

A guess never lies in silence. Words nobody heard fill the speech between the heard words around them, each by its
letters; where words came in segments with times, each stays in its own.

All of it is reckoned in *spoken time*: seconds of speech since the start of the chunk, in which silence takes no time.
"""

from __future__ import annotations

import math
from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import accumulate, groupby, pairwise
from typing import Final

from erni.model import Span, Word

REACH_S: Final = 1.5
"""A segment's borders are about a second off. A word heard farther outside was taken for another one."""
_NEAR_S: Final = 0.3
"""A word heard in silence this close to speech belongs there: neither VAD nor the aligner is more exact."""
_LEAST_S: Final = 0.04
"""Words squeezed into less than this each take a share of a neighbour's time."""
_NARROW_S: Final = 2.0
"""In less room than this the borders of segments say nothing."""


def place_words(
    words: Sequence[Word],
    heard: Sequence[Span | None],
    speech: Sequence[Span],
    duration_s: float,
    places: Sequence[Span] = (),
) -> tuple[Word, ...]:
    """The same words, one after the other within ``[0, duration_s]``, each inside one stretch of ``speech``.

    ``heard`` says of each word where it was heard, if it was: such a word is ``aligned``, without the silence at its
    edges. One far from any speech was not heard. All others are ``estimated``, and so is a heard neighbour of words
    left without room, with whom it shares. ``places`` says of each word between which times it was said, about, in
    order of their starts; it is empty where that is not known. Without speech, all of the chunk counts as speech.
    """
    clock = _SpokenClock.of(speech, duration_s)
    near = _near_places(heard, places) if places else heard
    aligned = _make_room(words, _check_order([clock.spoken(span) for span in near]), clock.total_s)
    guessed: dict[int, Span] = {}
    for first, behind in _runs_of_none(aligned):
        run, room = words[first:behind], _room(aligned, first, behind, clock.total_s)
        spans = _spread_in_places(run, places[first:behind], room, clock) if places else _spread(run, room)
        guessed.update(zip(range(first, behind), spans, strict=True))
    return tuple(
        _with_times(word, clock.recorded(span or guessed[index]), duration_s, is_aligned=span is not None)
        for index, (word, span) in enumerate(zip(words, aligned, strict=True))
    )


def estimate_times(
    words: Sequence[Word], speech: Sequence[Span], duration_s: float, places: Sequence[Span] = ()
) -> tuple[Word, ...]:
    """As ``place_words`` of words of which none was heard."""
    return place_words(words, [None] * len(words), speech, duration_s, places)


def best_split(here: Sequence[float], there: Sequence[float]) -> int:
    """How many of a run of words belong to the first of two neighbouring windows, the rest being of the second.

    Takes how well each word fits each window (log probabilities) and returns the number of greatest sum.
    """
    gains = accumulate((here_fit - there_fit for here_fit, there_fit in zip(here, there, strict=True)), initial=0.0)
    return max(enumerate(gains), key=lambda counted: counted[1])[0]


def count_letters(word: Word) -> int:
    """What a word's length is reckoned by; at least one."""
    return max(1, sum(map(str.isalnum, word.text)))


@dataclass(frozen=True, slots=True)
class _SpokenClock:
    """Changes recorded time into spoken time and back. ``begins`` holds each stretch's start in spoken time."""

    stretches: tuple[Span, ...]
    begins: tuple[float, ...]
    total_s: float

    @staticmethod
    def of(speech: Sequence[Span], duration_s: float) -> _SpokenClock:
        within = (Span(max(0.0, span.start_s), min(duration_s, span.end_s)) for span in speech)
        stretches = tuple(span for span in within if span.duration_s > 0) or (Span(0.0, duration_s),)
        begins = tuple(accumulate((span.duration_s for span in stretches), initial=0.0))
        return _SpokenClock(stretches, begins[:-1], begins[-1])

    def at(self, time_s: float) -> float:
        """How much was spoken before."""
        index = bisect_right(self.stretches, time_s, key=lambda span: span.start_s) - 1
        if index < 0:
            return 0.0
        stretch = self.stretches[index]
        return self.begins[index] + min(time_s, stretch.end_s) - stretch.start_s

    def between(self, place: Span, reach_s: float = 0.0) -> Span:
        """The spoken time between two recorded times, or as far around them as ``reach_s``."""
        return Span(self.at(place.start_s - reach_s), self.at(place.end_s + reach_s))

    def spoken(self, span: Span | None) -> Span | None:
        """The part of a recorded span in the stretch that holds most of it, or near which it is; else none."""
        if span is None or span.duration_s <= 0:
            return None
        start_s, end_s = self.at(span.start_s), self.at(span.end_s)
        if start_s < end_s:
            return self._largest_part(Span(start_s, end_s))
        return self._moved_into_speech(span)

    def recorded(self, span: Span) -> Span:
        """A span of spoken time, the part of it in the stretch that holds most, in recorded time."""
        part = self._largest_part(span) or span
        index = max(0, bisect_right(self.begins, part.start_s) - 1)
        offset_s = self.stretches[index].start_s - self.begins[index]
        end_s = self.stretches[index].end_s
        return Span(min(end_s, part.start_s + offset_s), min(end_s, part.end_s + offset_s))

    def _moved_into_speech(self, span: Span) -> Span | None:
        """A span that lies in silence, at the edge of the nearest stretch."""
        behind = bisect_left(self.stretches, span.end_s, key=lambda stretch: stretch.start_s)
        after = self.stretches[behind] if behind < len(self.stretches) else None
        before = self.stretches[behind - 1] if behind else None
        after_s = after.start_s - span.end_s if after else math.inf
        before_s = span.start_s - before.end_s if before else math.inf
        if min(after_s, before_s) > _NEAR_S:
            return None
        border_s = self.at(span.start_s)
        if after and after_s <= before_s:
            return Span(border_s, border_s + min(span.duration_s, after.duration_s))
        return Span(border_s - min(span.duration_s, before.duration_s if before else 0.0), border_s)

    def _largest_part(self, span: Span) -> Span | None:
        first = max(0, bisect_right(self.begins, span.start_s) - 1)
        behind = max(first + 1, bisect_left(self.begins, span.end_s))
        borders = [span.start_s, *self.begins[first + 1 : behind], span.end_s]
        largest = max((Span(*part) for part in pairwise(borders)), key=lambda part: part.duration_s)
        return largest if largest.duration_s > 0 else None


def _near_places(heard: Sequence[Span | None], places: Sequence[Span]) -> list[Span | None]:
    """Without those heard too far from where they belong."""
    return [
        span if span is not None and _is_near(span, place) else None for span, place in zip(heard, places, strict=True)
    ]


def _is_near(span: Span, place: Span) -> bool:
    return place.start_s - REACH_S <= span.start_s and span.end_s <= place.end_s + REACH_S


def _check_order(spans: Sequence[Span | None]) -> list[Span | None]:
    """Each span without what lies before the end of an earlier one; none where nothing is left."""
    done_s = 0.0
    checked: list[Span | None] = []
    for span in spans:
        rest = Span(max(done_s, span.start_s), span.end_s) if span is not None else None
        if rest is not None and rest.duration_s > 0:
            checked.append(rest)
            done_s = rest.end_s
        else:
            checked.append(None)
    return checked


def _make_room(words: Sequence[Word], aligned: Sequence[Span | None], total_s: float) -> list[Span | None]:
    """Without the neighbours of squeezed words, where the words can share their time: the slower one of two."""
    spans = list(aligned)
    for first, behind in _runs_of_none(aligned):
        if _room(aligned, first, behind, total_s).duration_s < _LEAST_S * (behind - first):
            neighbours = [index for index in (first - 1, behind) if 0 <= index < len(words)]
            slowness = {
                index: span.duration_s / count_letters(words[index])
                for index in neighbours
                if (span := aligned[index]) is not None
            }
            if slowness:
                spans[max(slowness, key=lambda index: slowness[index])] = None
    return spans


def _runs_of_none(spans: Sequence[Span | None]) -> Iterator[tuple[int, int]]:
    """Where neighbouring words were not heard: ``[first, behind)``."""
    for is_missing, run in groupby(range(len(spans)), key=lambda index: spans[index] is None):
        if is_missing:
            indices = list(run)
            yield indices[0], indices[-1] + 1


def _room(aligned: Sequence[Span | None], first: int, behind: int, total_s: float) -> Span:
    """The spoken time between the heard words around a run."""
    before = aligned[first - 1] if first else None
    after = aligned[behind] if behind < len(aligned) else None
    return Span(before.end_s if before else 0.0, after.start_s if after else total_s)


def _spread(run: Sequence[Word], room: Span) -> list[Span]:
    lengths = [count_letters(word) + 1 for word in run]
    scale = room.duration_s / sum(lengths)
    borders = [room.start_s + scale * done for done in accumulate(lengths, initial=0)]
    return [Span(*borders_of_word) for borders_of_word in pairwise(borders)]


def _spread_in_places(run: Sequence[Word], places: Sequence[Span], room: Span, clock: _SpokenClock) -> list[Span]:
    """Words of one place over the speech in it, as far as those before them and the room let them."""
    if room.duration_s < _NARROW_S:
        return _spread_in_narrow_room(run, places, room, clock)
    spans: list[Span] = []
    done_s = room.start_s
    for first, behind in _runs_of_one_place(places):
        around = Span(
            min(place.start_s for place in places[first:behind]), max(place.end_s for place in places[first:behind])
        )
        part = _widen(clock.between(around), _LEAST_S * (behind - first), Span(done_s, room.end_s))
        spans += _spread(run[first:behind], part)
        done_s = part.end_s
    return spans


def _spread_in_narrow_room(run: Sequence[Word], places: Sequence[Span], room: Span, clock: _SpokenClock) -> list[Span]:
    """As without places, but within reach of them."""
    spans: list[Span] = []
    done_s = room.start_s
    for place, even in zip(places, _spread(run, room), strict=True):
        reach = clock.between(place, REACH_S)
        start_s = min(room.end_s, max(done_s, min(max(even.start_s, reach.start_s), reach.end_s)))
        done_s = min(room.end_s, max(start_s, even.end_s))
        spans.append(Span(start_s, done_s))
    return spans


def _runs_of_one_place(places: Sequence[Span]) -> Iterator[tuple[int, int]]:
    """Which neighbours share a place, ``[first, behind)``: segments of people who talk at once count as one."""
    first = 0
    for behind in range(1, len(places) + 1):
        if behind == len(places) or not _is_same_time(places[behind - 1], places[behind]):
            yield first, behind
            first = behind


def _is_same_time(one: Span, other: Span) -> bool:
    return one == other or one.overlap_s(other) > min(one.duration_s, other.duration_s) / 2


def _widen(span: Span, least_s: float, room: Span) -> Span:
    """The part of a span in the room, or the least around it that there is room for."""
    start_s = min(max(span.start_s, room.start_s), room.end_s)
    end_s = min(max(span.end_s, start_s + least_s), room.end_s)
    return Span(max(room.start_s, min(start_s, end_s - least_s)), end_s)


def _with_times(word: Word, span: Span, duration_s: float, *, is_aligned: bool) -> Word:
    return replace(
        word,
        start_s=min(duration_s, round(span.start_s, 3)),
        end_s=min(duration_s, round(span.end_s, 3)),
        timing="aligned" if is_aligned else "estimated",
    )
