"""A picture of one recording: who spoke when, who was heard when, where it was cut and what was wrong."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

from matplotlib import colormaps
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from erni.model import Turn
from evals.hearing import Hearing
from evals.normalising import SpokenWord
from evals.references import Reference
from evals.speaker_metrics import name_turns

STRIP_S: Final = 180.0
"""Longer recordings go on in the next strip."""
_WIDTH_INCHES: Final = 16.0
_STRIP_INCHES: Final = 2.0
_MARGIN_INCHES: Final = 1.0
_DOTS_PER_INCH: Final = 100
_REFERENCE_Y: Final = 1.2
_MARKS_Y: Final = 1.1
_HEARD_Y: Final = 0.0
_BAND: Final = 1.0
_STRANGER: Final = "0.55"
_FEW: Final = 11
"""Lanes up to which ten colours are enough."""


def draw_recording(
    title: str, reference: Reference, hearing: Hearing, wrong_words: Sequence[SpokenWord], file: Path
) -> None:
    """Write a PNG. A heard speaker has the place and colour of the real one it stands for, or is grey below them."""
    expected, heard = reference.turns or (), hearing.turns or ()
    names = name_turns(expected, heard)
    named = [replace(turn, speaker=names.get(turn.speaker, "")) for turn in heard]
    lanes = [*sorted({turn.speaker for turn in expected}), ""]
    strips = max(1, math.ceil(hearing.duration_s / STRIP_S))
    width_s = STRIP_S if strips > 1 else hearing.duration_s
    figure = Figure((_WIDTH_INCHES, strips * _STRIP_INCHES + _MARGIN_INCHES), _DOTS_PER_INCH, layout="constrained")
    figure.suptitle(title)
    for number, axes in enumerate(figure.subplots(strips, squeeze=False)[:, 0]):
        _draw_turns(axes, _REFERENCE_Y, expected, lanes)
        _draw_turns(axes, _HEARD_Y, named, lanes)
        _draw_marks(axes, hearing, wrong_words)
        axes.set_xlim(number * width_s, (number + 1) * width_s)
        axes.set_ylim(_HEARD_Y, _REFERENCE_Y + _BAND)
        axes.set_yticks([_HEARD_Y + _BAND / 2, _REFERENCE_Y + _BAND / 2], ["heard", "reference"])
    axes.set_xlabel("seconds")
    figure.legend(handles=_legend(lanes), loc="outside lower right", ncols=8, frameon=False)
    file.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(file)


def _draw_turns(axes: Axes, base_y: float, turns: Sequence[Turn], lanes: Sequence[str]) -> None:
    """A lane for each speaker, the first one on top."""
    height = _BAND / len(lanes)
    for lane, speaker in enumerate(lanes):
        bars = [(turn.start_s, turn.end_s - turn.start_s) for turn in turns if turn.speaker == speaker]
        y = base_y + _BAND - (lane + 1) * height
        axes.broken_barh(bars, (y, height), facecolors=_colour(lane, lanes), edgecolors="none")


def _draw_marks(axes: Axes, hearing: Hearing, wrong_words: Sequence[SpokenWord]) -> None:
    for seam_s in hearing.seams_s:
        axes.axvline(seam_s, color="black", linewidth=1, linestyle="--")
    for gap in hearing.gaps:
        axes.axvspan(gap.start_s, gap.end_s, facecolor="none", edgecolor="0.3", hatch="///")
    middles = [word.middle_s for word in wrong_words]
    axes.plot(middles, [_MARKS_Y] * len(middles), "x", color="red", markersize=7)


def _legend(lanes: Sequence[str]) -> list[Artist]:
    speakers = [Patch(facecolor=_colour(lane, lanes), label=name or "nobody's") for lane, name in enumerate(lanes)]
    return [
        *speakers,
        Line2D([], [], color="black", linewidth=1, linestyle="--", label="seam"),
        Patch(facecolor="none", edgecolor="0.3", hatch="///", label="not transcribed"),
        Line2D([], [], color="red", marker="x", linestyle="none", label="border word at a wrong speaker"),
    ]


def _colour(lane: int, lanes: Sequence[str]) -> Any:
    """A speaker's; grey is the last lane's, of those who are none of the real speakers."""
    palette = colormaps["tab10" if len(lanes) <= _FEW else "tab20"]
    return palette(lane % palette.N) if lanes[lane] else _STRANGER
