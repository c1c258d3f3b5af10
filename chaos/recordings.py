"""Recordings for the run: real speech, each one different, and each a pure function of a seed and its number."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Final

import numpy as np
import soundfile

SAMPLE: Final = Path(__file__).parent.parent / "samples" / "standup.flac"
PIECES: Final = 4
PIECE_S: Final = (8.0, 14.0)
PAUSE_S: Final = 0.5


def make_recording(directory: Path, seed: int, number: int) -> Path:
    """Four stretches of the sample with pauses between, 34-58 s together, as ``<number>.flac``."""
    draw = random.Random(f"{seed}/{number}")  # noqa: S311  # to repeat a run, not to guard anything
    samples, rate_hz = soundfile.read(SAMPLE, dtype="int16")
    pause = np.zeros(int(PAUSE_S * rate_hz), np.int16)
    pieces = []
    for _ in range(PIECES):
        length = int(draw.uniform(*PIECE_S) * rate_hz)
        start = draw.randrange(len(samples) - length)
        pieces += [samples[start : start + length], pause]
    path = directory / f"{number:03}.flac"
    soundfile.write(path, np.concatenate(pieces), rate_hz)
    return path
