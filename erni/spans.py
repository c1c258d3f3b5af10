"""Stretches of time as sets."""

from __future__ import annotations

from collections.abc import Iterable

from erni.model import Span


def unite_spans(spans: Iterable[Span], *, pause_s: float = 0.0) -> list[Span]:
    """The same time as disjoint spans, from spans sorted by start; pauses shorter than ``pause_s`` are filled."""
    united: list[Span] = []
    for span in spans:
        if united and (span.start_s <= united[-1].end_s or span.start_s < united[-1].end_s + pause_s):
            united[-1] = Span(united[-1].start_s, max(united[-1].end_s, span.end_s))
        else:
            united.append(span)
    return united
