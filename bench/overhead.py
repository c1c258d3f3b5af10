"""What the pipeline itself costs in time: a short clip beyond its engines, and every further chunk of a job.

The chunks' engine is scripted and answers at once. Decoding is work on the audio and not counted: a job's time here
is its ``total_s`` without ``prepare_s``. Over jobs of few and many chunks it is a straight line.
"""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import click
import soundfile

from bench import processes
from bench.efficiency import fit_line
from bench.engine import open_engine
from bench.recordings import repeat_sample
from bench.stack import BenchStack, open_stack
from config.engine_settings import ScriptedSettings

CLIP_S: Final = 10
RUNS: Final = 10
LENGTHS_S: Final = (30.0, 600.0, 1500.0)
"""About 1, 10 and 25 chunks; longer ones would be passed on to the workers for long work."""
RUNS_PER_LENGTH: Final = 3
DECODING: Final = frozenset({"worker media", "worker long", "ffmpeg"})


def measure(sample: Path, directory: Path, lengths_s: Sequence[float] = LENGTHS_S) -> dict[str, Any]:
    """Seconds of a clip beyond its engines, and of a job and a chunk with an engine that answers at once."""
    with open_engine() as engine:
        scripted = ScriptedSettings(url=engine.url, timeout_s=300.0)
        with open_stack(directory / "overhead", scripted=scripted) as stack:
            return {**_measure_clip(stack, sample, directory), **_measure_chunks(stack, sample, directory, lengths_s)}


def _measure_clip(stack: BenchStack, sample: Path, directory: Path) -> dict[str, Any]:
    """Seconds from acceptance to the final state beyond the slower of the engines, which run side by side."""
    samples, rate = soundfile.read(sample, dtype="int16")
    clip = directory / "clip.flac"
    soundfile.write(clip, samples[: CLIP_S * rate], rate)
    stack.run(clip)
    overheads = [beyond_engines_s(stack.run(clip)["timings"]) for _ in range(RUNS)]
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


def beyond_engines_s(timings: Mapping[str, float]) -> float:
    """Of a job of one chunk."""
    return timings["total_s"] - max(
        (seconds for name, seconds in timings.items() if name.endswith("_engine_s")), default=0.0
    )


def _measure_chunks(stack: BenchStack, sample: Path, directory: Path, lengths_s: Sequence[float]) -> dict[str, Any]:
    """Wall and processor milliseconds per job and per chunk."""
    recordings = []
    for length_s in lengths_s:
        recording = directory / f"overhead-{length_s:.0f}.flac"
        repeat_sample(sample, length_s, recording)
        recordings.append(recording)
        _run(stack, recording)
    runs = [_run(stack, recording) for _ in range(RUNS_PER_LENGTH) for recording in recordings]
    figures = summarise(runs)
    click.echo(
        f"          engine that answers at once: {figures['job_ms']:.0f} ms per job and {figures['chunk_ms']:.1f} ms "
        f"per chunk beyond decoding; processor {figures['job_cpu_ms']:.0f} ms and {figures['chunk_cpu_ms']:.1f} ms"
    )
    return figures


def summarise(runs: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Slopes and intercepts over the medians of the runs with equally many chunks; milliseconds."""
    counts = sorted({run["chunks"] for run in runs})
    medians = {
        name: [(count, statistics.median(run[name] for run in runs if run["chunks"] == count)) for count in counts]
        for name in ("wall_s", "cpu_s")
    }
    (chunk_s, job_s), (chunk_cpu_s, job_cpu_s) = fit_line(medians["wall_s"]), fit_line(medians["cpu_s"])
    return {
        "job_ms": round(job_s * 1000, 1),
        "chunk_ms": round(chunk_s * 1000, 2),
        "job_cpu_ms": round(job_cpu_s * 1000, 1),
        "chunk_cpu_ms": round(chunk_cpu_s * 1000, 2),
        "chunk_cpu_by_kind_ms": _by_kind(runs),
        "by_length": [dict(run) for run in runs],
    }


def _by_kind(runs: Sequence[Mapping[str, Any]]) -> dict[str, float]:
    """Slopes of each kind's processor time; what a process does in idle time is in them."""
    kinds = sorted({kind for run in runs for kind in run["cpu_by_kind"]})
    points = {kind: [(run["chunks"], run["cpu_by_kind"].get(kind, 0.0)) for run in runs] for kind in kinds}
    return {kind: round(fit_line(places)[0] * 1000, 2) for kind, places in points.items()}


def _run(stack: BenchStack, recording: Path) -> dict[str, Any]:
    """The processor time is that of all processes but those that decode."""
    before = processes.cpu_s()
    job = stack.run(recording, engine="scripted", diarizer="none")
    used = processes.used_cpu_s(before, processes.cpu_s())
    timings = job["timings"]
    used = {kind: seconds for kind, seconds in used.items() if kind not in DECODING}
    return {
        "chunks": job["chunks"]["total"],
        "wall_s": timings["total_s"] - timings["prepare_s"],
        "cpu_s": sum(used.values()),
        "cpu_by_kind": used,
    }
