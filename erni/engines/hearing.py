"""Hears the voices in stretches of speech: in windows over all of it, and in close windows where the speaker may
change.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final, Protocol

import numpy as np
import numpy.typing as npt

from erni.engines.changes import (
    CLOSE_SHIFT_S,
    CLOSE_WINDOW_S,
    are_within,
    edge_windows,
    find_changes,
    find_edge_changes,
)
from erni.engines.voice_model import cut_windows
from erni.model import Span
from erni.spans import unite_spans
from erni.voices import Changes, Embeddings, Windows

SHORTEST_WITH_EDGES_S: Final = 2.0
"""In a shorter stretch of speech there is no window that has nothing of its edge."""

Samples = npt.NDArray[np.float32]
Cuts = list[tuple[float, float]]


class VoiceEmbedder(Protocol):
    """A voice model."""

    def embed(self, samples: Samples, offset_s: float, windows: Sequence[tuple[float, float]]) -> Embeddings:
        """As ``VoiceModel.embed``."""


def hear_voices(
    model: VoiceEmbedder, samples: Samples, offset_s: float, speech: Sequence[Span]
) -> tuple[Windows, Embeddings, Changes]:
    """Windows (n × 2, seconds of the recording), cut to the speech they lie in; their embeddings; and the changes.

    ``speech`` is sorted and disjoint. ``samples`` are 16 kHz and begin at ``offset_s``, a window's length before the
    speech where there is that much: the window of a short stretch begins before it, and is heard whole all the same.

    Raises:
        ValueError: see ``VoiceModel.embed``.
    """
    cuts = [cut_windows(span) for span in speech]
    embeddings = model.embed(samples, offset_s, [cut for of_span in cuts for cut in of_span])
    by_span = [_cut_to(span, of_span) for span, of_span in zip(speech, cuts, strict=True)]
    windows = np.concatenate([np.zeros((0, 2)), *by_span])
    found = find_changes(windows, embeddings)
    long = list(_long_stretches(speech, by_span))
    edges = model.embed(samples, offset_s, [edge for span, _ in long for edge in edge_windows(span)])
    for (span, own), pair in zip(long, edges.reshape(len(long), 2, edges.shape[1]), strict=True):
        found += find_edge_changes(span, windows[own], embeddings[own], pair)
    spans = np.array([(span.start_s, span.end_s) for span in unite_spans(sorted(found, key=_start_s))]).reshape(-1, 2)
    close_cuts, close = _cut_closely(speech, spans)
    return windows, embeddings, Changes(spans, close, model.embed(samples, offset_s, close_cuts))


def _long_stretches(speech: Sequence[Span], by_span: Sequence[Windows]) -> Iterator[tuple[Span, slice]]:
    """Those long enough to have edges, and which windows are theirs."""
    first = 0
    for span, windows in zip(speech, by_span, strict=True):
        if span.duration_s >= SHORTEST_WITH_EDGES_S:
            yield span, slice(first, first + len(windows))
        first += len(windows)


def _cut_closely(speech: Sequence[Span], spans: Windows) -> tuple[Cuts, Windows]:
    """The close windows with their middles in ``spans``: as they are heard, and cut to the speech they lie in."""
    chosen: Cuts = []
    by_span = [np.zeros((0, 2))]
    for span in speech:
        cuts = cut_windows(span, CLOSE_WINDOW_S, CLOSE_SHIFT_S)
        windows = _cut_to(span, cuts)
        is_near = are_within(windows.mean(axis=1), spans)
        chosen += [cut for cut, near in zip(cuts, is_near, strict=True) if near]
        by_span.append(windows[is_near])
    return chosen, np.concatenate(by_span)


def _cut_to(span: Span, cuts: Cuts) -> Windows:
    return np.clip(np.array(cuts, np.float64).reshape(-1, 2), span.start_s, span.end_s)


def _start_s(span: Span) -> float:
    return span.start_s
