"""End to end on this machine, beside one process that recognises and then diarizes, in sequence or in batches.

The three take turns, so that what else the machine does meets all of them; of each the best run counts.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import click
import jiwer
import soundfile

from bench import processes
from bench.baselines import KINDS, open_baseline
from bench.stack import BenchStack
from evals.normalising import normalise

RUNS: Final = 3
RUNS_OF_LONG: Final = 2
LONG_S: Final = 300.0
LONG_REPEATS: Final = 9

Run = Mapping[str, Any]
"""One contestant's run: ``total_s``, ``text``, and what it can tell of its parts."""


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


def measure(stack: BenchStack, recordings: Sequence[Recording]) -> list[dict[str, Any]]:
    """Real-time factors (seconds of work per second of audio) of all three, and their word error rates."""
    rows = []
    with ExitStack() as opened:
        contestants: dict[str, Callable[[Path], Run]] = {"erni": lambda path: _run_erni(stack, path)}
        for kind in KINDS:
            ask = opened.enter_context(open_baseline(kind))
            contestants[kind] = lambda path, ask=ask: ask(str(path))  # type: ignore[misc]  # mypy knows no such default
        for run in contestants.values():
            run(recordings[0].path)
        for recording in recordings:
            runs = RUNS if recording.duration_s < LONG_S else RUNS_OF_LONG
            rows.append(compare(recording, take_turns(contestants, recording.path, runs)))
            _show(rows[-1])
    return rows


def take_turns(contestants: Mapping[str, Callable[[Path], Run]], path: Path, runs: int) -> dict[str, list[Run]]:
    """Each in turn, ``runs`` times."""
    taken: dict[str, list[Run]] = {name: [] for name in contestants}
    for _ in range(runs):
        for name, run in contestants.items():
            taken[name].append(run(path))
    return taken


def compare(recording: Recording, taken: Mapping[str, Sequence[Run]]) -> dict[str, Any]:
    """A row of the best runs; ``times_faster`` is Erni's lead over each baseline."""
    best = {name: min(runs, key=lambda run: float(run["total_s"])) for name, runs in taken.items()}
    erni_s = float(best["erni"]["total_s"])
    return {
        "recording": recording.path.name,
        "audio_s": round(recording.duration_s, 1),
        "rtf": {name: round(run["total_s"] / recording.duration_s, 4) for name, run in best.items()},
        "times_faster": {name: round(best[name]["total_s"] / erni_s, 2) for name in best if name != "erni"},
        "wer": {name: word_error_rate(recording.words, run["text"]) for name, run in best.items()},
        "all_total_s": {name: [round(run["total_s"], 2) for run in runs] for name, runs in taken.items()},
        "parts": {
            name: {part: round(seconds, 3) for part, seconds in run.items() if part.endswith("_s")}
            for name, run in best.items()
        },
        "cpu_s": best["erni"]["cpu"],
    }


def word_error_rate(reference: str, heard: str) -> float | None:
    """Share of wrong words after normalisation, or ``None`` without a reference."""
    if not reference:
        return None
    return round(float(jiwer.wer(" ".join(normalise(reference, "en")), " ".join(normalise(heard, "en")))), 4)


def _run_erni(stack: BenchStack, path: Path) -> Run:
    before = processes.cpu_s()
    job = stack.run(path)
    used = processes.used_cpu_s(before, processes.cpu_s())
    text = " ".join(segment["text"] for segment in json.loads(stack.transcript(job))["segments"])
    return {**job["timings"], "text": text, "cpu": used}


def _show(row: Mapping[str, Any]) -> None:
    rtf, faster, wer = row["rtf"], row["times_faster"], row["wer"]
    click.echo(
        f"speed     {row['recording']}, {row['audio_s']} s: Erni {rtf['erni']:.4f} x real time; in sequence "
        f"{rtf['sequential']:.4f}, Erni {faster['sequential']} times faster; batched {rtf['batched']:.4f}, "
        f"{faster['batched']} times"
    )
    click.echo(f"          WER: Erni {wer['erni']}, in sequence {wer['sequential']}, batched {wer['batched']}")
    click.echo(f"          Erni's stages: {row['parts']['erni']}; processor seconds: {row['cpu_s']}")
