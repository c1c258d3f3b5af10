"""Gives every word a speaker, from a diarizer's turns. Knows words and turns, nothing of where they come
from.

A recogniser's word times and a diarizer's turn borders disagree by some tenths of a second, so at every
change of speaker a word or two lands with the wrong person. Four strategies:

- ``overlap``: the speaker whose turns share most time with the word (whisperX ``assign_word_speakers``).
- ``weighted``: the same, weighted by how much the speaker talks around the word, so that splinters of turns
  lose.
- ``majority``: whole phrases (between pauses and sentence ends) go to the speaker who shares most time with
  them.
- ``boundary``: the likeliest sequence of speakers, given that changes fall into pauses and behind sentence
  ends rather than inside phrases (``erni.borders``).

A word outside all turns goes to the nearest turn: as long as there are turns, no word is left without a
speaker.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Final

from erni.borders import find_speakers
from erni.model import JoinStrategy, Turn, Word
from erni.packing import PackedWords, pack_words, with_speakers
from erni.segmenting import ends_sentence
from erni.timeline import Timeline

_AROUND_S: Final = 2.0
"""``weighted`` counts who talks this long before and after a word."""
_PHRASE_PAUSE_S: Final = 0.5
"""A pause this long ends a phrase for ``majority``."""


def assign_speakers(words: Sequence[Word], turns: Sequence[Turn], strategy: JoinStrategy = "boundary") -> PackedWords:
    """The same words, each with the diarizer's label of its speaker; unchanged where there are no turns."""
    timeline = Timeline(turns)
    if not timeline.starts or not words:
        return pack_words(words)
    return with_speakers(words, _STRATEGIES[strategy](words, timeline))


def number_speakers(words: Sequence[Word]) -> tuple[PackedWords, tuple[str, ...]]:
    """Rename speakers by first appearance, ``speaker_1``, ``speaker_2`` ...; returns the words and the new
    names.
    """
    packed = pack_words(words)
    numbers = speaker_numbers(packed)
    renamed = [numbers[label] if label is not None else None for label in packed.speakers]
    return with_speakers(packed, renamed), tuple(numbers.values())


def speaker_numbers(words: PackedWords) -> dict[str, str]:
    """What ``number_speakers`` calls each speaker it finds."""
    labels = dict.fromkeys(label for label in words.speakers if label is not None)
    return {label: f"speaker_{number}" for number, label in enumerate(labels, start=1)}


def _by_overlap(words: Sequence[Word], timeline: Timeline) -> list[str]:
    return [_most(timeline.overlaps(word.start_s, word.end_s), word, timeline) for word in words]


def _by_weighted_overlap(words: Sequence[Word], timeline: Timeline) -> list[str]:
    speakers = []
    for word in words:
        within = timeline.overlaps(word.start_s, word.end_s)
        around = timeline.overlaps(word.start_s - _AROUND_S, word.end_s + _AROUND_S)
        weighted = {speaker: seconds * around[speaker] for speaker, seconds in within.items()}
        speakers.append(_most(weighted, word, timeline))
    return speakers


def _by_majority(words: Sequence[Word], timeline: Timeline) -> list[str]:
    speakers: list[str] = []
    for phrase in _phrases(words):
        shared: dict[str, float] = {}
        for word in phrase:
            for speaker, seconds in timeline.overlaps(word.start_s, word.end_s).items():
                shared[speaker] = shared.get(speaker, 0.0) + seconds
        speakers += [_most(shared, phrase[len(phrase) // 2], timeline)] * len(phrase)
    return speakers


def _phrases(words: Sequence[Word]) -> list[Sequence[Word]]:
    borders = [
        index
        for index, (word, following) in enumerate(pairwise(words), start=1)
        if following.start_s - word.end_s >= _PHRASE_PAUSE_S or ends_sentence(word.text)
    ]
    return [words[first:behind] for first, behind in pairwise([0, *borders, len(words)])]


def _most(seconds: dict[str, float], word: Word, timeline: Timeline) -> str:
    """The speaker with most seconds (the first of equals), or the one nearest to the word."""
    if seconds:
        return max(seconds, key=lambda speaker: seconds[speaker])
    return timeline.nearest(word.middle_s)


_STRATEGIES: Final[dict[JoinStrategy, Callable[[Sequence[Word], Timeline], list[str]]]] = {
    "overlap": _by_overlap,
    "weighted": _by_weighted_overlap,
    "majority": _by_majority,
    "boundary": find_speakers,
}
