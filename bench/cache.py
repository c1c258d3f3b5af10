"""What the stage cache spares: repeats and variations of a finished job, and the hit rate under a mixed load.

The mixed load is rounds of ten jobs, one after the other. A round brings a new recording (the long one, a little
quieter each time, so that no chunk of it was ever seen) and then, in an order drawn with a fixed seed:

- 5 of 10 exact repeats of any earlier job of the load: a caller who sends again, a pipeline that is run again,
- 2 of 10 the recording again with another number of speakers,
- 2 of 10 the recording again with another join strategy.

Its hit rate is ``hits / (hits + misses)`` of ``erni_cache_lookups_total`` over the load. There, a job answered as a
whole is one hit, however long it is, so the share of the pieces of work (decoding, each chunk, diarization) that
earlier results answered is given beside it.
"""

from __future__ import annotations

import random
import statistics
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import click
import httpx
import soundfile
from prometheus_client.parser import text_string_to_metric_families

from bench.stack import BenchStack

REPEATS = 5
ROUNDS = 2
REPEATS_PER_ROUND = 5
SPEAKER_COUNTS = (3, 5)
JOIN_STRATEGIES = ("overlap", "majority")
SEED = 7
POLL_S = 0.01


@dataclass(frozen=True)
class Submission:
    """A recording and the options it is sent with."""

    recording: Path
    options: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Run:
    """A finished job; ``elapsed_s`` is what its caller waited, from the first byte sent to the final state."""

    job: dict[str, Any]
    elapsed_s: float

    @property
    def pieces(self) -> int:
        """Decoding, each chunk's words and voices, and telling the voices apart."""
        return 2 * self._chunks + 2

    @property
    def pieces_reused(self) -> int:
        reused = self.job["reused"]
        if reused["job"]:
            return self.pieces
        return int(reused["prepare"] + reused["transcribe"] + self._voices_reused + reused["diarize"])

    @property
    def engine_calls(self) -> int:
        reused = self.job["reused"]
        return 0 if reused["job"] else 2 * self._chunks - int(reused["transcribe"]) - self._voices_reused

    @property
    def _chunks(self) -> int:
        return int(self.job["chunks"]["total"])

    @property
    def _voices_reused(self) -> int:
        """Turns known from before spare all voices."""
        reused = self.job["reused"]
        return self._chunks if reused["diarize"] else int(reused["embed"])


def measure(stack: BenchStack, recording: Path, directory: Path) -> dict[str, Any]:
    """Seconds and engine calls of a recording's repeats and variations, and the hit rates under the mixed load."""
    return {**_measure_again(stack, recording), "mixed_load": _measure_mixed_load(stack, recording, directory)}


def _measure_again(stack: BenchStack, recording: Path) -> dict[str, Any]:
    first = _run(stack, Submission(recording))
    repeats = [_run(stack, Submission(recording)) for _ in range(REPEATS)]
    speakers = _run(stack, Submission(recording, {"num_speakers": str(SPEAKER_COUNTS[0])}))
    join = _run(stack, Submission(recording, {"join": JOIN_STRATEGIES[0]}))
    repeat = {
        "median_s": round(statistics.median(run.elapsed_s for run in repeats), 3),
        "worst_s": round(max(run.elapsed_s for run in repeats), 3),
        "engine_calls": sum(run.engine_calls for run in repeats),
    }
    click.echo(
        f"cache     {recording.name}: first {first.elapsed_s:.2f} s, {first.engine_calls} engine calls; {REPEATS} "
        f"repeats {repeat['median_s']} s (median), worst {repeat['worst_s']} s, {repeat['engine_calls']} engine calls"
    )
    for name, run in (("other speaker count", speakers), ("other join strategy", join)):
        click.echo(f"          {name}: {run.elapsed_s:.2f} s, {run.engine_calls} engine calls")
    return {
        "recording": recording.name,
        "first": _describe(first),
        "repeat": repeat,
        "other_speaker_count": _describe(speakers),
        "other_join": _describe(join),
    }


def _describe(run: Run) -> dict[str, Any]:
    return {"elapsed_s": round(run.elapsed_s, 3), "engine_calls": run.engine_calls, "reused": run.job["reused"]}


def _measure_mixed_load(stack: BenchStack, recording: Path, directory: Path) -> dict[str, Any]:
    before = _read_lookups(stack)
    runs = [_run(stack, submission) for submission in _mix(recording, directory)]
    after = _read_lookups(stack)
    hits, misses = (after[outcome] - before[outcome] for outcome in ("hit", "miss"))
    figures = {
        "jobs": len(runs),
        "hits": hits,
        "misses": misses,
        "hit_rate": round(hits / (hits + misses), 3),
        "pieces_reused": round(sum(run.pieces_reused for run in runs) / sum(run.pieces for run in runs), 3),
        "engine_s_saved": round(sum(run.job["reused"]["engine_s"] for run in runs), 1),
    }
    click.echo(
        f"          mixed load of {len(runs)} jobs: {figures['hit_rate']:.0%} of look-ups hit, "
        f"{figures['pieces_reused']:.0%} of the pieces of work reused, {figures['engine_s_saved']} s of engines saved"
    )
    return figures


def _mix(recording: Path, directory: Path) -> Iterator[Submission]:
    draw = random.Random(SEED)  # noqa: S311  # the same order every time, not a secret
    sent: list[Submission] = []
    for number in range(1, ROUNDS + 1):
        new = _write_quieter(recording, directory, number)
        sent.append(Submission(new))
        yield sent[-1]
        variations: list[Submission | None] = [None] * REPEATS_PER_ROUND
        variations += [Submission(new, {"num_speakers": str(count)}) for count in SPEAKER_COUNTS]
        variations += [Submission(new, {"join": strategy}) for strategy in JOIN_STRATEGIES]
        draw.shuffle(variations)
        for variation in variations:
            sent.append(variation or draw.choice(sent))
            yield sent[-1]


def _write_quieter(recording: Path, directory: Path, number: int) -> Path:
    samples, rate = soundfile.read(recording, dtype="int16")
    path = directory / f"quieter-{number}.flac"
    soundfile.write(path, (samples * (1 - 0.05 * number)).astype("int16"), rate)
    return path


def _run(stack: BenchStack, submission: Submission) -> Run:
    """Asks for the state far more often than a caller would, because what is measured is shorter than his pauses."""
    with stack.client() as client:
        started_s = time.perf_counter()
        job = client.submit(submission.recording, {"language": "en", **submission.options})
        while job["finished_at"] is None:
            time.sleep(POLL_S)
            job = client.job(job["id"])
        elapsed_s = time.perf_counter() - started_s
    if job["status"] != "succeeded":
        raise RuntimeError(f"{submission.recording.name}: {job['status']}: {job['error']}")
    return Run(job, elapsed_s)


def _read_lookups(stack: BenchStack) -> dict[str, int]:
    """Look-ups of all stages so far, by outcome."""
    answer = httpx.get(f"{stack.api_url}/metrics", trust_env=False).raise_for_status()
    lookups = {"hit": 0, "miss": 0}
    for family in text_string_to_metric_families(answer.text):
        for sample in family.samples:
            if sample.name == "erni_cache_lookups_total":
                lookups[sample.labels["outcome"]] += int(sample.value)
    return lookups
