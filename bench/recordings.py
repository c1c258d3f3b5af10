"""Long recordings for measuring, made from the sample."""

from __future__ import annotations

import json
import random
import subprocess
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt
import soundfile

from erni.media.ffmpeg import find_ffmpeg

SEED: Final = 2026
PAUSE_S: Final = (0.25, 1.5)


def repeat_sample(sample: Path, duration_s: float, recording: Path) -> None:
    """Write the sample over and over until ``duration_s``, in the format ``recording``'s name says."""
    arguments = ["-stream_loop", "-1", "-i", str(sample), "-t", str(duration_s), "-b:a", "32k", str(recording)]
    subprocess.run([find_ffmpeg(None), "-nostdin", "-y", "-loglevel", "error", *arguments], check=True)


def shuffle_sample(sample: Path, duration_s: float, recording: Path) -> None:
    """Write the sample's turns in an order and with pauses drawn from a fixed seed; 16-bit PCM.

    Of a sample that merely repeats itself, cuts fall in the same places again and again: chunks would be alike to the
    cache, and their lengths would beat against the number of slots. A longer recording does not begin as a shorter one.
    """
    draw = random.Random(f"{SEED} {duration_s}")  # noqa: S311  # the same recording every time, not a secret
    samples, rate = soundfile.read(sample, dtype="int16")
    turns = _read_turns(samples, rate, sample.with_suffix(".json"))
    left = round(duration_s * rate)
    with soundfile.SoundFile(recording, "w", rate, 1, subtype="PCM_16") as file:
        while left > 0:
            pause = np.zeros(round(draw.uniform(*PAUSE_S) * rate), dtype=np.int16)
            block = np.concatenate([draw.choice(turns), pause])[:left]
            file.write(block)
            left -= len(block)


def _read_turns(samples: npt.NDArray[np.int16], rate: int, reference: Path) -> list[npt.NDArray[np.int16]]:
    turns = json.loads(reference.read_text())["turns"]
    return [samples[round(turn["start_s"] * rate) : round(turn["end_s"] * rate)] for turn in turns]
