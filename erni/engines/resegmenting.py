"""Viterbi resegmentation: who speaks when around changes of speaker, once it is clear how each speaker sounds.

Clustering labels windows of 1.5 s one by one. Where the speaker may change, close windows replace them here, and the
likeliest sequence of speakers is found exactly (Viterbi 1967): each window speaks for the speakers it sounds like, as
long as it lasts, and each change costs something. Resegmentation after clustering is usual in diarization (Kaldi,
pyannote.audio 2, VBx), only that it is everywhere there. Costs are in nats and were set on meetings mixed of
LibriSpeech, on AMI and on a telephone call; the optimum is flat.

A voice that is heard only where voices change is a mixture of others, no speaker.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from erni.engines.changes import ALIKE_COSINE, are_within, neighbour_cosines, share_sound
from erni.engines.clustering import Labels
from erni.engines.voice_model import SHIFT_S
from erni.voices import Changes, Embeddings, Rows, Windows, mean_voices, unit_blocks, unit_rows

Floats = npt.NDArray[np.floating[Any]]
Flags = npt.NDArray[np.bool_]

EVIDENCE_PER_S: Final = 50.0
"""Of a second that sounds wholly like a speaker (cosine 1)."""
LONGEST_STEP_S: Final = SHIFT_S
SHORTEST_STEP_S: Final = 0.02
"""Between the middles of two windows no more time and no less counts: the one lies between two inside speech."""
CHANGE_COST: Final = 3.0
PAUSE_S: Final = 1.0
"""A pause this long makes a change cost e times less."""
CLEAR_SPEECH_S: Final = 0.3
"""A window with less speech does not prove that a speaker is there."""
CLEAR_CLOSE_S: Final = 0.7
CLEAR_MARGIN: Final = 0.15
"""A close window with so much speech that sounds so much more like one speaker than like any other ..."""
CLEAR_CLOSE_WINDOWS: Final = 2
"""... does, together with another one."""


@dataclass(frozen=True, slots=True)
class _Heard:
    """Windows in order of their middles, and how much each sounds like each speaker (cosines, n × speakers)."""

    middles: Floats
    scores: Floats


def resegment(
    windows: Windows, embeddings: Rows, labels: Labels, changes: Changes, *, least: int = 1
) -> tuple[Windows, Labels]:
    """The stretches of time between the middles of windows, disjoint and in order, and the label of each (0, 1, …).

    ``windows`` (n × 2, ascending, cut to the speech they lie in), ``embeddings`` and ``labels`` (n; each of 0, 1, … is
    used) are those of the clustering. No time of a window is lost. Where there is one speaker, or fewer than ``least``
    would remain, windows and labels return as they came.
    """
    if not labels.any():
        return windows, labels
    means = unit_rows(mean_voices(embeddings, labels, int(labels.max()) + 1)[0])
    scores, close_scores = _score(embeddings, means), _score(changes.embeddings, means)
    is_real = _find_real(windows, embeddings, labels, len(means))
    is_real |= _find_clear(changes.windows, close_scores)
    if is_real.sum() < least:
        is_real[:] = True
    heard = _merge(windows, scores[:, is_real], changes, close_scores[:, is_real])
    path = _find_path(heard)
    used, numbered = np.unique(path, return_inverse=True)
    if len(used) < least:
        return windows, labels
    return _cut_cells(windows, heard, path), numbered.astype(np.int64)


def _score(embeddings: Rows, means: Embeddings) -> Floats:
    """Cosines of windows and speakers (n × labels)."""
    blocks = [rows @ means.T for rows in unit_blocks(embeddings)]
    return np.concatenate([np.zeros((0, len(means)), np.float32), *blocks])


def _find_real(windows: Windows, embeddings: Rows, labels: Labels, count: int) -> Flags:
    """Which of ``count`` speakers have a window for themselves: its neighbours in the same speech sound like it."""
    is_unlike = share_sound(windows) & (neighbour_cosines(embeddings) < ALIKE_COSINE)
    is_clear = windows[:, 1] - windows[:, 0] >= CLEAR_SPEECH_S
    is_clear[1:] &= ~is_unlike
    is_clear[:-1] &= ~is_unlike
    return np.bincount(labels[is_clear], minlength=count) > 0


def _find_clear(windows: Windows, scores: Floats) -> Flags:
    """Which speakers are heard clearly in close windows."""
    ranked = np.sort(scores, axis=1)
    is_clear = (windows[:, 1] - windows[:, 0] >= CLEAR_CLOSE_S) & (ranked[:, -1] - ranked[:, -2] >= CLEAR_MARGIN)
    return np.bincount(scores.argmax(axis=1)[is_clear], minlength=scores.shape[1]) >= CLEAR_CLOSE_WINDOWS


def _merge(windows: Windows, scores: Floats, changes: Changes, close_scores: Floats) -> _Heard:
    """The close windows, and the others where no change is near or no close window lies in the same speech."""
    middles, close_middles = windows.mean(axis=1), changes.windows.mean(axis=1)
    starts, _ = _find_stretches(windows)
    has_close = np.bincount(_stretch_of(close_middles, starts), minlength=len(starts)) > 0
    is_kept = ~(are_within(middles, changes.spans) & has_close[_stretch_of(middles, starts)])
    merged = np.concatenate([middles[is_kept], close_middles])
    order = np.argsort(merged, kind="stable")
    return _Heard(merged[order], np.concatenate([scores[is_kept], close_scores])[order])


def _find_path(heard: _Heard) -> Labels:
    """The likeliest sequence of speakers."""
    count, speakers = heard.scores.shape
    first_s, last_s = heard.middles[0] - LONGEST_STEP_S, heard.middles[-1] + LONGEST_STEP_S
    steps_s = np.diff(heard.middles, prepend=first_s, append=last_s)
    bounded_s = np.clip(steps_s, SHORTEST_STEP_S, LONGEST_STEP_S)
    stands_for_s = (bounded_s[1:] + bounded_s[:-1]) / 2
    evidence = EVIDENCE_PER_S * heard.scores * stands_for_s[:, np.newaxis]
    change_costs = CHANGE_COST * np.exp(-np.maximum(steps_s - LONGEST_STEP_S, 0.0) / PAUSE_S)
    origins = np.zeros((count, speakers), np.min_scalar_type(speakers))
    costs, everyone = -evidence[0], np.arange(speakers)
    for index in range(1, count):
        cheapest = int(costs.argmin())
        changed = costs[cheapest] + change_costs[index]
        origins[index] = np.where(costs <= changed, everyone, cheapest)
        costs = np.minimum(costs, changed) - evidence[index]
    path = np.zeros(count, np.int64)
    path[-1] = costs.argmin()
    for index in range(count - 1, 0, -1):
        path[index - 1] = origins[index, path[index]]
    return path


def _cut_cells(windows: Windows, heard: _Heard, path: Labels) -> Windows:
    """The time each window stands for: in a stretch of speech they touch, and fill it."""
    starts, ends = _find_stretches(windows)
    stretches = _stretch_of(heard.middles, starts)
    is_same = stretches[1:] == stretches[:-1]
    borders = _find_borders(heard, path)
    cell_starts = np.concatenate([starts[stretches[:1]], np.where(is_same, borders, starts[stretches[1:]])])
    cell_ends = np.concatenate([np.where(is_same, borders, ends[stretches[:-1]]), ends[stretches[-1:]]])
    return np.stack([cell_starts, cell_ends], axis=1)


def _find_borders(heard: _Heard, path: Labels) -> Floats:
    """Between neighbouring windows: halfway, or at a change where both speakers are equally likely.

    A window that slides over a change sounds less and less like the one and more and more like the other, about in
    proportion.
    """
    index, (left, right) = np.arange(len(path) - 1), (path[:-1], path[1:])
    before = heard.scores[index, left] - heard.scores[index, right]
    after = heard.scores[index + 1, right] - heard.scores[index + 1, left]
    is_crossing = (before > 0) & (after > 0)
    share = np.where(is_crossing, before / np.where(is_crossing, before + after, 1.0), 0.5)
    return np.asarray(heard.middles[:-1] + share * np.diff(heard.middles))


def _find_stretches(windows: Windows) -> tuple[Floats, Floats]:
    """Starts and ends of the time that windows cover without a hole."""
    is_new = windows[1:, 0] > windows[:-1, 1] + 1e-6
    starts = np.concatenate([windows[:1, 0], windows[1:, 0][is_new]])
    ends = np.concatenate([windows[:-1, 1][is_new], windows[-1:, 1]])
    return starts, ends


def _stretch_of(moments: Floats, starts: Floats) -> Labels:
    return np.searchsorted(starts, moments, side="right").astype(np.int64) - 1
