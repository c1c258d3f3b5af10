"""What the pipeline itself costs: a short clip's time outside its engines."""

from __future__ import annotations

import statistics
from pathlib import Path
from typing import Any

import click
import soundfile

from bench.stack import BenchStack

CLIP_S = 10
RUNS = 10


def measure_overhead(stack: BenchStack, sample: Path, directory: Path) -> dict[str, Any]:
    """Seconds from acceptance to the final state beyond the slower of the two engines, which run side by side."""
    samples, rate = soundfile.read(sample, dtype="int16")
    clip = directory / "clip.flac"
    soundfile.write(clip, samples[: CLIP_S * rate], rate)
    stack.run(clip)
    overheads = []
    for _ in range(RUNS):
        timings = stack.run(clip)["timings"]
        engine_s = max(timings["transcribe_engine_s"], timings["diarize_engine_s"])
        overheads.append(timings["total_s"] - engine_s)
    figures = {
        "median_s": round(statistics.median(overheads), 3),
        "worst_s": round(max(overheads), 3),
        "runs": RUNS,
    }
    click.echo(
        f"overhead  {CLIP_S} s clip: {figures['median_s']} s beyond its engines (median of {RUNS}), "
        f"worst {figures['worst_s']} s"
    )
    return figures
