"""Turns as a searchable line of time. Answers who talks when; decides nothing."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import pairwise

from erni.model import Span, Turn


class Timeline:
    """Who talks when, with overlapping turns cut into disjoint pieces so that a look-up is two bisections.

    ``starts``, ``ends`` (seconds, sorted) and ``talking`` (who, in order of label) describe the pieces;
    silent time has none. Turns without length or label count for nothing.
    """

    def __init__(self, turns: Sequence[Turn]) -> None:
        self.starts: list[float] = []
        self.ends: list[float] = []
        self.talking: list[tuple[str, ...]] = []
        for start_s, end_s, talking in _pieces(turns):
            self.starts.append(start_s)
            self.ends.append(end_s)
            self.talking.append(talking)
        self._own: dict[str, tuple[list[float], list[float]]] = _own_spans(self)

    def overlaps(self, start_s: float, end_s: float) -> dict[str, float]:
        """Seconds each speaker talks in ``[start_s, end_s)``; only speakers who do."""
        seconds: dict[str, float] = {}
        for index in range(bisect_right(self.ends, start_s), bisect_left(self.starts, end_s)):
            shared_s = min(end_s, self.ends[index]) - max(start_s, self.starts[index])
            for speaker in self.talking[index]:
                seconds[speaker] = seconds.get(speaker, 0.0) + shared_s
        return seconds

    def nearest(self, at_s: float) -> str:
        """The speaker whose turn is nearest to a moment. The timeline must not be empty."""
        after = bisect_right(self.ends, at_s)
        if after == 0:
            return self.talking[0][0]
        if after == len(self.starts):
            return self.talking[-1][0]
        is_before_nearer = at_s - self.ends[after - 1] < self.starts[after] - at_s
        return self.talking[after - 1 if is_before_nearer else after][0]

    def sole_turn(self, at_s: float) -> tuple[str, Span] | None:
        """The turn a moment lies in and whose it is, if nobody else talks at any time in it."""
        index = bisect_right(self.starts, at_s) - 1
        if index < 0 or at_s >= self.ends[index] or len(self.talking[index]) > 1:
            return None
        speaker = self.talking[index][0]
        starts, ends = self._own[speaker]
        own = bisect_right(starts, at_s) - 1
        piece = Span(self.starts[index], self.ends[index])
        return (speaker, piece) if piece == Span(starts[own], ends[own]) else None

    def depth_s(self, speaker: str, at_s: float) -> float:
        """How far a moment lies inside (positive) or outside (negative) the speaker's nearest turn, in
        seconds.
        """
        starts, ends = self._own[speaker]
        index = bisect_right(starts, at_s) - 1
        before_s = ends[index] - at_s if index >= 0 else float("-inf")
        if before_s > 0:
            return min(at_s - starts[index], before_s)
        after_s = at_s - starts[index + 1] if index + 1 < len(starts) else float("-inf")
        return max(before_s, after_s)


def _pieces(turns: Sequence[Turn]) -> Iterator[tuple[float, float, tuple[str, ...]]]:
    """Disjoint stretches of time, in order, each with those who talk in it."""
    changes = [
        change
        for turn in turns
        if turn.start_s < turn.end_s and turn.speaker
        for change in ((turn.start_s, turn.speaker, 1), (turn.end_s, turn.speaker, -1))
    ]
    changes.sort()
    talking: Counter[str] = Counter()
    for (at_s, speaker, step), (until_s, _, _) in pairwise(changes):
        talking[speaker] += step
        if not talking[speaker]:
            del talking[speaker]
        if talking and at_s < until_s:
            yield at_s, until_s, tuple(sorted(talking))


def _own_spans(timeline: Timeline) -> dict[str, tuple[list[float], list[float]]]:
    """Each speaker's talking time, as starts and ends of disjoint spans; touching pieces become one."""
    own: dict[str, tuple[list[float], list[float]]] = {}
    for start_s, end_s, talking in zip(timeline.starts, timeline.ends, timeline.talking, strict=True):
        for speaker in talking:
            starts, ends = own.setdefault(speaker, ([], []))
            if ends and ends[-1] == start_s:
                ends[-1] = end_s
            else:
                starts.append(start_s)
                ends.append(end_s)
    return own
