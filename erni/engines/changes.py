"""Where the speaker is likely to change, judged by how alike neighbouring windows of speech sound.

A window of 1.5 s across a change holds two voices and tells neither when it happened nor, if the second one says only a
word or two, that it did. So windows half as long are heard around likely changes, and only there: everywhere
they would double what voices cost. Knows embeddings, no model.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from erni.model import Span
from erni.voices import Embeddings, Rows, Windows, unit_blocks, unit_rows

CLOSE_WINDOW_S: Final = 0.8
CLOSE_SHIFT_S: Final = 0.3
"""Length and distance of the close windows."""
ALIKE_COSINE: Final = 0.6
"""Neighbouring windows of one voice, which share most of their sound, are at least as alike."""
ALIKE_COSINE_ACROSS: Final = 0.5
NEXT_STRETCH_S: Final = 1.0
"""Across a pause no longer than this, in which somebody else may have been missed, they are at least so alike."""
ALIKE_COSINE_AT_EDGE: Final = 0.45
"""A close window at the edge of a stretch and the next long one that it hardly shares sound with."""
SHARED_S: Final = 0.15
"""So much they may share."""
_REACH_S: Final = 0.3
"""A change lies between the middles of two windows, or this far beyond: a window is not all of one voice."""


def neighbour_cosines(embeddings: Rows) -> npt.NDArray[np.float64]:
    """How alike each window (n) and the next one sound (n - 1)."""
    found: list[npt.NDArray[Any]] = []
    last = np.zeros((0, embeddings.shape[1]), np.float32)
    for block in unit_blocks(embeddings):
        rows = np.concatenate([last, block])
        found.append((rows[1:] * rows[:-1]).sum(axis=1))
        last = block[-1:]
    return np.concatenate([np.zeros(0), *found])


def share_sound(windows: Windows) -> npt.NDArray[np.bool_]:
    """Whether each window (n) overlaps the next one (n - 1), which two of different stretches of speech do not."""
    return np.asarray(windows[1:, 0] < windows[:-1, 1])


def find_changes(windows: Windows, embeddings: Embeddings) -> list[Span]:
    """Around pairs of consecutive windows that sound unlike. Spans may overlap."""
    cosines, gaps = neighbour_cosines(embeddings), windows[1:, 0] - windows[:-1, 1]
    is_across = (gaps < NEXT_STRETCH_S) & (cosines < ALIKE_COSINE_ACROSS)
    is_change = np.where(share_sound(windows), cosines < ALIKE_COSINE, is_across)
    middles = windows.mean(axis=1)
    return [
        Span(float(middles[index]) - _REACH_S, float(middles[index + 1]) + _REACH_S)
        for index in np.flatnonzero(is_change)
    ]


def edge_windows(span: Span) -> tuple[tuple[float, float], tuple[float, float]]:
    """The first and the last close window of a stretch of speech, which must hold both."""
    return (span.start_s, span.start_s + CLOSE_WINDOW_S), (span.end_s - CLOSE_WINDOW_S, span.end_s)


def find_edge_changes(span: Span, windows: Windows, embeddings: Embeddings, edges: Embeddings) -> Iterator[Span]:
    """A word or two of somebody else at an edge of a stretch: they are in two or three long windows, but in each the
    smaller part, so that those are like their neighbours. ``edges`` (2) are the embeddings of ``edge_windows``.
    """
    first, last = edge_windows(span)
    rows, (first_voice, last_voice) = unit_rows(embeddings), unit_rows(edges)
    after = np.flatnonzero(windows[:, 0] >= first[1] - SHARED_S)
    if len(after) and rows[after[0]] @ first_voice < ALIKE_COSINE_AT_EDGE:
        yield Span(span.start_s, float(windows[after[0], 0]) + CLOSE_WINDOW_S / 2)
    before = np.flatnonzero(windows[:, 1] <= last[0] + SHARED_S)
    if len(before) and rows[before[-1]] @ last_voice < ALIKE_COSINE_AT_EDGE:
        yield Span(float(windows[before[-1], 1]) - CLOSE_WINDOW_S / 2, span.end_s)


def are_within(moments: npt.NDArray[np.float64], spans: npt.NDArray[np.float64]) -> npt.NDArray[np.bool_]:
    """Whether each moment (n) lies in one of the sorted, disjoint spans (m × 2)."""
    if not len(spans):
        return np.zeros(len(moments), np.bool_)
    index = np.searchsorted(spans[:, 0], moments, side="right") - 1
    return np.asarray((index >= 0) & (moments <= spans[np.maximum(index, 0), 1]))
