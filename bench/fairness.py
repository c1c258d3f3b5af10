"""How long a one-minute job takes beside a ten-hour one, against its time alone: fair share, in one run.

Twice: while the long recording is decoded, and while its chunks are transcribed and its voices told apart.
"""

from __future__ import annotations

import statistics
import time
from pathlib import Path
from typing import Any, Final

import click

from bench.recordings import repeat_sample
from bench.stack import BenchStack
from cli.client import ErniClient

SHORT_S: Final = 60
LONG_S: Final = 10 * 3600
RUNS: Final = 5
CHUNKS_BEFORE: Final = 4
"""Done of the long job before the short ones are sent: by then both processes are at its work."""


def measure(stack: BenchStack, sample: Path, directory: Path) -> dict[str, Any]:
    """Median seconds of the short job alone and beside the long one."""
    short, long = directory / "minute.flac", directory / "ten-hours.mp3"
    repeat_sample(sample, SHORT_S, short)
    repeat_sample(sample, LONG_S, long)
    stack.run(short)
    alone_s = _median_s(stack, short)
    with stack.client() as client:
        job_id = client.submit(long, {"language": "en", "cache": "bypass"})["id"]
        _wait_for(client, job_id, "preparing", chunks=0)
        beside_decoding_s = _median_s(stack, short)
        _wait_for(client, job_id, "processing", CHUNKS_BEFORE)
        beside_chunks_s = _median_s(stack, short)
        still = client.job(job_id)
        client.cancel(job_id)
    if still["status"] != "processing":
        raise RuntimeError(f"the long job was {still['status']} before the short ones were over")
    ratios = {"decoding": beside_decoding_s / alone_s, "chunks": beside_chunks_s / alone_s}
    click.echo(
        f"fairness  one-minute job: alone {alone_s:.2f} s; while a ten-hour one is decoded {beside_decoding_s:.2f} s "
        f"({ratios['decoding']:.2f} x), transcribed {beside_chunks_s:.2f} s ({ratios['chunks']:.2f} x)"
    )
    return {
        "alone_s": round(alone_s, 3),
        "beside_decoding_s": round(beside_decoding_s, 3),
        "beside_chunks_s": round(beside_chunks_s, 3),
        "ratios": {phase: round(ratio, 2) for phase, ratio in ratios.items()},
    }


def _median_s(stack: BenchStack, recording: Path) -> float:
    return statistics.median(float(stack.run(recording)["timings"]["total_s"]) for _ in range(RUNS))


def _wait_for(client: ErniClient, job_id: str, status: str, chunks: int) -> None:
    while True:
        job = client.job(job_id)
        if job["status"] == status and job["chunks"]["done"] >= chunks:
            return
        if job["finished_at"] is not None:
            raise RuntimeError(f"the long job was {job['status']} too early: {job['error']}")
        time.sleep(0.2)
