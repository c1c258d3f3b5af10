"""Finds the likeliest sequence of speakers for a sequence of words: the ``boundary`` strategy.

A diarizer's turn borders are off by some tenths of a second, and so are word times. Who has the words around
a change is better read from the language: people take over in pauses, behind sentence ends and before capital
letters, seldom inside a phrase. So every word has a cost under every speaker near it, which grows the farther
it lies outside that speaker's turns; every change of speaker has a cost, which such signs lower; and the
sequence of least total cost is found exactly (Viterbi 1967). A stray word between two words of another
speaker is absorbed, because two changes cost more than its evidence; a back-channel ("yeah") stays, because a
short turn has a claim to the word in its middle.

Moving a border to the punctuation near it is whisper-diarization's idea (MahmoudAshraf97, "realign with
punctuation"). Costs are in nats (1 = e times less likely) and were fitted on simulated and AMI meetings, with
the diarizer's turns and with turns whose borders were moved by 0.2-0.4 s; the optimum is flat.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from erni.model import Span, Word
from erni.segmenting import ends_sentence
from erni.timeline import Timeline

REACH_S: Final = 1.0
"""A border is moved no farther than this: a speaker whose turns are all farther away cannot have the word."""
_BLUR_S: Final = 0.3
"""Scale of the error of turn borders."""
_CHANGE_COST: Final = 4.0
"""Of a change of speaker inside a phrase ..."""
_PAUSE_DISCOUNT: Final = 2.0
_FULL_PAUSE_S: Final = 0.3
"""... less this in a pause, in full from this length on ..."""
_SENTENCE_DISCOUNT: Final = 2.4
"""... less this behind the end of a sentence ..."""
_CAPITAL_DISCOUNT: Final = 0.6
"""... less this before a capital letter."""
_OWN_TURN_COST: Final = 4.0
_OWN_TURN_COST_PER_S: Final = 6.0
"""Of leaving a short turn without its middle word: so much, and more per second it lasts, up to one."""
_SHORT_TURN_S: Final = 3.0
"""A longer turn holds enough words to stand for itself."""
_FILLED: Final = 0.4
"""A turn is only as good as its words: they fill at least this share of it."""


@dataclass(frozen=True, slots=True)
class _Claim:
    """Who a word belongs to by its place in a turn, and what it costs to give it to somebody else."""

    speaker: str
    cost: float


def find_speakers(words: Sequence[Word], timeline: Timeline) -> list[str]:
    """The speaker of each word, as labelled in ``timeline``, which must not be empty."""
    claims = _find_claims(words, timeline)
    costs: dict[str, float] = {}
    origins: list[dict[str, str]] = []
    path: list[str] = []
    for index, word in enumerate(words):
        evidence = _evidence(word, timeline, claims.get(index))
        cheapest = min(costs, key=lambda speaker: costs[speaker], default="")
        changed = costs[cheapest] + _change_cost(words[index - 1], word) if costs else 0.0
        stayed = {speaker: costs.get(speaker, math.inf) for speaker in evidence}
        origins.append({speaker: speaker if stayed[speaker] <= changed else cheapest for speaker in evidence})
        costs = {speaker: min(stayed[speaker], changed) + evidence[speaker] for speaker in evidence}
        if len(costs) == 1:
            # All sequences go through this speaker here, so what is best up to here is known.
            [only] = costs
            path += _walk_back(only, origins)
            origins.clear()
    return path + _walk_back(min(costs, key=lambda speaker: costs[speaker], default=""), origins)


def _walk_back(speaker: str, origins: Sequence[dict[str, str]]) -> list[str]:
    path = []
    for origin in reversed(origins):
        path.append(speaker)
        speaker = origin[speaker]
    return path[::-1]


def _evidence(word: Word, timeline: Timeline, claim: _Claim | None) -> dict[str, float]:
    """Cost of the word under each speaker near it: the negative logarithm of the chance that they talk in its
    middle, where the distance to the border of a turn is blurred (logistic).
    """
    near = timeline.overlaps(word.start_s - REACH_S, word.end_s + REACH_S) or (timeline.nearest(word.middle_s),)
    costs = {}
    for speaker in near:
        outside = -timeline.depth_s(speaker, word.middle_s) / _BLUR_S
        costs[speaker] = max(outside, 0.0) + math.log1p(math.exp(-abs(outside)))
        if claim is not None and claim.speaker != speaker:
            costs[speaker] += claim.cost
    return costs


def _change_cost(word: Word, following: Word) -> float:
    pause_s = min(max(following.start_s - word.end_s, 0.0), _FULL_PAUSE_S)
    cost = _CHANGE_COST - _PAUSE_DISCOUNT * pause_s / _FULL_PAUSE_S
    if ends_sentence(word.text):
        cost -= _SENTENCE_DISCOUNT
    if following.text[:1].isupper() and not _is_english_i(following.text):
        cost -= _CAPITAL_DISCOUNT
    return max(cost, 0.0)


def _is_english_i(text: str) -> bool:
    """Whether the capital says nothing: English writes "I" and "I'm" so anywhere."""
    return text == "I" or text.startswith(("I'", "I\u2019", "I,"))


def _find_claims(words: Sequence[Word], timeline: Timeline) -> dict[int, _Claim]:
    """By index of the word: the claim of a short turn, in which nobody else talks, to its middle word."""
    by_turn: defaultdict[tuple[str, Span], list[int]] = defaultdict(list)
    for index, word in enumerate(words):
        sole = timeline.sole_turn(word.middle_s)
        if sole is not None and sole[1].duration_s <= _SHORT_TURN_S:
            by_turn[sole].append(index)
    claims: dict[int, _Claim] = {}
    for (speaker, turn), indices in by_turn.items():
        filled_s = sum(turn.overlap_s(Span(words[i].start_s, words[i].end_s)) for i in indices)
        if filled_s >= _FILLED * turn.duration_s:
            deepest = max(indices, key=lambda i: timeline.depth_s(speaker, words[i].middle_s))
            cost = _OWN_TURN_COST + _OWN_TURN_COST_PER_S * min(turn.duration_s, 1.0)
            claims[deepest] = _Claim(speaker, cost)
    return claims
