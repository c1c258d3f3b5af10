"""Recordings with exactly known words, speakers and times, made by mixing the sample's turns anew.

For where no recordings of one's own are at hand, and for CI: small, free and the same on every machine. The voices are
a synthesiser's, so its figures show whether something broke, not how well real speech is recognised.
"""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import soundfile
from numpy.typing import NDArray

from erni.errors import InputError

SCENES: Final = ("turns", "tight", "pauses", "overlap", "silence")
SEED: Final = 1
EDGE_S: Final = 0.6
SILENCE_S: Final = 30.0
NOISE_DB: Final = -60.0

Samples = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Line:
    """A turn of the sample: who speaks, what, and the samples (n,)."""

    speaker: str
    text: str
    samples: Samples


@dataclass(frozen=True, slots=True)
class Placed:
    """A line and where it begins, in samples."""

    start: int
    line: Line

    @property
    def end(self) -> int:
        return self.start + len(self.line.samples)


def generate_recordings(sample: Path, directory: Path, *, seed: int = SEED, scenes: Sequence[str] = SCENES) -> None:
    """Write each scene as ``SCENE.flac`` with ``SCENE.seglst.json`` and ``SCENE.rttm``.

    - ``turns``: all lines in another order, twice; gaps of 0.2 – 1 s
    - ``tight``: half of them, gaps below 0.1 s
    - ``pauses``: half of them, every third gap 3 – 12 s, and 10 s of noise behind the last word
    - ``overlap``: half of them, every third line begins 0.3 – 0.8 s before the one before it ends
    - ``silence``: noise without a word

    Equal seeds give equal bytes, whichever scenes are asked for.

    Raises:
        InputError: the sample or its reference is missing.
    """
    lines, rate_hz = load_lines(sample)
    directory.mkdir(parents=True, exist_ok=True)
    for scene in scenes:
        draw = random.Random(f"{seed} {scene}")  # noqa: S311  # a reproducible draw, no secret
        placed = list(_lay_out(scene, lines, draw, rate_hz))
        tail_s = {"pauses": 10.0, "silence": SILENCE_S}.get(scene, EDGE_S)
        length = max((each.end for each in placed), default=0) + round(tail_s * rate_hz)
        _write(directory / scene, placed, _mix(placed, length, draw.randrange(2**32)), rate_hz)


def load_lines(sample: Path) -> tuple[list[Line], int]:
    """The sample cut into its turns, and its rate in Hz. Raises InputError."""
    script = sample.with_suffix(".json")
    if not (sample.is_file() and script.is_file()):
        raise InputError(f"{sample} or {script.name} is missing. Name a folder of recordings, or work in a checkout.")
    samples, rate_hz = soundfile.read(sample, dtype="float32")
    lines = [
        Line(turn["speaker"], turn["text"], samples[round(turn["start_s"] * rate_hz) : round(turn["end_s"] * rate_hz)])
        for turn in json.loads(script.read_text(encoding="utf-8"))["turns"]
    ]
    return lines, rate_hz


def _lay_out(scene: str, lines: Sequence[Line], draw: random.Random, rate_hz: int) -> Iterator[Placed]:
    if scene == "silence":
        return
    order = draw.sample(lines, len(lines))
    order = order + draw.sample(lines, len(lines)) if scene == "turns" else order[: len(order) // 2]
    at, before = round(EDGE_S * rate_hz), None
    for number, line in enumerate(order):
        if before is not None:
            gap_s = _GAPS[scene](number, draw)
            # Nobody interrupts himself.
            at += round((abs(gap_s) if line.speaker == before.speaker else gap_s) * rate_hz)
        yield Placed(at, line)
        at, before = at + len(line.samples), line


_GAPS: Final[dict[str, Callable[[int, random.Random], float]]] = {
    "turns": lambda _, draw: draw.uniform(0.2, 1.0),
    "tight": lambda _, draw: draw.uniform(0.0, 0.1),
    "pauses": lambda number, draw: draw.uniform(3, 12) if number % 3 == 0 else draw.uniform(0.2, 1.0),
    "overlap": lambda number, draw: -draw.uniform(0.3, 0.8) if number % 3 == 0 else draw.uniform(0.2, 1.0),
}


def _mix(placed: Sequence[Placed], length: int, seed: int) -> Samples:
    noise = np.random.default_rng(seed).normal(0.0, 10 ** (NOISE_DB / 20), length)
    mixed = noise.astype(np.float32)
    for each in placed:
        mixed[each.start : each.end] += each.line.samples
    return mixed


def _write(stem: Path, placed: Sequence[Placed], samples: Samples, rate_hz: int) -> None:
    soundfile.write(stem.with_suffix(".flac"), samples, rate_hz, subtype="PCM_16")
    rows = [
        {
            "session_id": stem.name,
            "speaker": each.line.speaker,
            "start_time": round(each.start / rate_hz, 3),
            "end_time": round(each.end / rate_hz, 3),
            "words": each.line.text,
        }
        for each in placed
    ]
    stem.with_suffix(".seglst.json").write_text(json.dumps(rows, indent=1) + "\n", encoding="utf-8")
    turns = [
        f"SPEAKER {stem.name} 1 {each.start / rate_hz:.3f} {len(each.line.samples) / rate_hz:.3f} "
        f"<NA> <NA> {each.line.speaker} <NA> <NA>\n"
        for each in placed
    ]
    stem.with_suffix(".rttm").write_text("".join(turns), encoding="utf-8")
