"""Peak memory of every kind of process by the length of the recording, over the whole pipeline.

One stack, whose processes stay: before each recording the kernel is told to measure their peaks anew. Chunks go to a
scripted engine that answers at once, speakers are found by the local models, and every format of the transcript is
fetched. What is resident is counted whole (RSS); pages that processes share are in the figure of each.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import click

from bench import processes
from bench.engine import open_engine
from bench.recordings import repeat_sample
from bench.stack import BenchStack, open_stack
from config.engine_settings import ScriptedSettings
from erni.exporting import FORMATS

LENGTHS_S: Final[dict[str, float]] = {"1 min": 60.0, "10 min": 600.0, "1 h": 3600.0, "10 h": 36_000.0}
FLAT: Final = 0.1
"""How much more memory the longest recording may take than ten minutes."""
BASE: Final = "10 min"
BASES: Final[dict[str, str]] = {"worker long": "1 h"}
"""Of kinds that have nothing to do with ten minutes the length that first needs them."""


def measure(sample: Path, directory: Path, lengths: Sequence[str] = tuple(LENGTHS_S)) -> dict[str, Any]:
    """Megabytes by kind of process and length, and which kinds are not flat."""
    with open_engine() as engine:
        scripted = ScriptedSettings(url=engine.url, timeout_s=300.0)
        with open_stack(directory / "memory", scripted=scripted) as stack:
            _run(stack, _make(sample, directory, "1 min"))
            runs = {length: _run(stack, _make(sample, directory, length)) for length in lengths}
    peaks = {length: run["peak_mb"] for length, run in runs.items()}
    figures = {"lengths": runs, "growth": growth(peaks), "not_flat": not_flat(peaks)}
    _show(peaks, figures)
    return figures


def growth(peaks: Mapping[str, Mapping[str, float]]) -> dict[str, float]:
    """Peak of the longest recording over that of its kind's base, by kind; only of kinds that were there at both."""
    longest = peaks[list(peaks)[-1]]
    bases = {kind: peaks.get(BASES.get(kind, BASE), {}).get(kind, 0.0) for kind in longest}
    return {kind: round(longest[kind] / base, 3) for kind, base in sorted(bases.items()) if base}


def not_flat(peaks: Mapping[str, Mapping[str, float]]) -> list[str]:
    """The kinds that grew by more than they may."""
    return [kind for kind, ratio in growth(peaks).items() if ratio > 1 + FLAT]


def _make(sample: Path, directory: Path, length: str) -> Path:
    recording = directory / f"length-{length.replace(' ', '-')}.mp3"
    repeat_sample(sample, LENGTHS_S[length], recording)
    return recording


def _run(stack: BenchStack, recording: Path) -> dict[str, Any]:
    processes.reset_peaks()
    with processes.watch(processes.peak_mb, processes.shared_out_mb) as (peak, shared_out):
        job = stack.run(recording, engine="scripted")
        with stack.client() as client:
            sizes = {name: len(client.transcript(job["id"], name)) for name in FORMATS}
    recording.unlink()
    return {
        "chunks": job["chunks"]["total"],
        "peak_mb": {kind: round(value, 1) for kind, value in sorted(peak.items())},
        "pss_mb": {kind: round(value, 1) for kind, value in sorted(shared_out.items())},
        "transcript_bytes": sizes,
        "timings": job["timings"],
    }


def _show(peaks: Mapping[str, Mapping[str, float]], figures: Mapping[str, Any]) -> None:
    lengths = "".join(f"{length:>10}" for length in peaks)
    click.echo(f"{'memory':<18}{lengths}{'ratio':>8}   (peak MB resident)")
    for kind in sorted({kind for row in peaks.values() for kind in row}):
        values = "".join(f"{row.get(kind, 0.0):10.1f}" for row in peaks.values())
        click.echo(f"{kind:>18}{values}{figures['growth'].get(kind, 0.0):8.3f}")
    verdict = f"not flat: {', '.join(figures['not_flat'])}" if figures["not_flat"] else "all flat"
    click.echo(f"          within {FLAT:.0%} of {BASE}: {verdict}")
