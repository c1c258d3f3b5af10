"""What ``n`` slots could do at best with given pieces of work, and where the time they took went. Pure."""

from __future__ import annotations

import heapq
import statistics
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Span:
    """When a piece of work began and ended, in seconds on one clock."""

    start_s: float
    end_s: float


@dataclass(frozen=True, slots=True)
class Losses:
    """Where slots stood idle, in seconds.

    - ``ramp_s``: from the first begin until every slot had something to do
    - ``gap_s``: the median of the pauses between a piece's end and the begin of the one that took its slot
    - ``tail_s``: from when the first slot had nothing more to do until the end
    """

    ramp_s: float
    gap_s: float
    tail_s: float


def even_split_s(durations: Sequence[float], slots: int) -> float:
    """The ideal: all work, cut as finely as one likes, over ``slots``."""
    return sum(durations) / slots


def list_schedule_s(durations: Sequence[float], slots: int) -> float:
    """The end when whole pieces in this order each go to the slot that is free first (Graham, 1966)."""
    ends = [0.0] * slots
    for duration in durations:
        heapq.heapreplace(ends, ends[0] + duration)
    return max(ends)


def longest_first_s(durations: Sequence[float], slots: int) -> float:
    """The same with the longest piece first (Graham, 1969): at most a third above the best there is."""
    return list_schedule_s(sorted(durations, reverse=True), slots)


def find_losses(spans: Sequence[Span], slots: int) -> Losses:
    """Pairs the end that freed a slot with the next begin, whatever the order pieces are given out in.

    The first ``slots`` begins need no slot freed; after them the k-th begin takes the slot of the k-th end.
    """
    begins = sorted(span.start_s for span in spans)
    ends = sorted(span.end_s for span in spans)
    used = min(slots, len(spans))
    gaps = [begin - end for begin, end in zip(begins[used:], ends, strict=False)]
    return Losses(
        ramp_s=begins[used - 1] - begins[0],
        gap_s=statistics.median(gaps) if gaps else 0.0,
        tail_s=ends[-1] - ends[-used],
    )


def busy_share(spans: Sequence[Span], slots: int) -> float:
    """Share of the slots' time, from the first begin to the last end, in which they had a piece."""
    elapsed_s = max(span.end_s for span in spans) - min(span.start_s for span in spans)
    return sum(span.end_s - span.start_s for span in spans) / (slots * elapsed_s)


def fit_line(points: Sequence[tuple[float, float]]) -> tuple[float, float]:
    """Slope and intercept by least squares; needs two different ``x``."""
    line = statistics.linear_regression([x for x, _ in points], [y for _, y in points])
    return line.slope, line.intercept
