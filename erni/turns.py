"""Makes turns of labelled windows: who speaks when, from who speaks in each short window of speech.

Knows windows and labels, nothing of voices or how they were told apart.
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np
import numpy.typing as npt

from erni.model import Turn

PAUSE_S: Final = 1.0
"""Who goes on after a pause no longer than this, before anybody else speaks, goes on with the same turn."""


def label_turns(windows: npt.NDArray[np.floating[Any]], labels: npt.NDArray[np.integer[Any]]) -> tuple[Turn, ...]:
    """The turns of a recording, sorted and disjoint, speakers under the names ``SPEAKER_00``, ``SPEAKER_01`` ...

    ``windows`` (n × 2) are starts and ends in seconds, both ascending; ``labels`` (n) say whose each is. Where windows
    of two speakers share time the turn changes halfway through it, since a window is labelled by whoever has most of
    it. Time that no window covers is in no turn, but for a speaker's own short pauses.
    """
    if not len(windows):
        return ()
    starts, ends = windows[:, 0], windows[:, 1]
    is_change = labels[1:] != labels[:-1]
    is_border = is_change | (starts[1:] - ends[:-1] > PAUSE_S)
    is_shared = starts[1:] < ends[:-1]
    halfway = (starts[1:] + ends[:-1]) / 2
    turn_starts = np.concatenate([starts[:1], np.where(is_shared, halfway, starts[1:])[is_border]])
    turn_ends = np.concatenate([np.where(is_shared, halfway, ends[:-1])[is_border], ends[-1:]])
    speakers = np.concatenate([labels[:1], labels[1:][is_border]])
    spans = zip(turn_starts.round(3).tolist(), turn_ends.round(3).tolist(), speakers.tolist(), strict=True)
    return tuple(Turn(start_s, end_s, f"SPEAKER_{label:02d}") for start_s, end_s, label in spans if start_s < end_s)
