"""A day of audio as one job with the scripted engine: whether anything grows with the length of a job."""

from __future__ import annotations

import threading
import time
from pathlib import Path
from typing import Any, Final

import click
import redis

from bench import processes
from bench.processes import MB
from bench.recordings import repeat_sample
from bench.stack import BenchStack, open_stack
from chaos.engine_server import open_engine
from chaos.ledger import Ledger
from config.engine_settings import ScriptedSettings

HOURS: Final = 24
PACE: Final = 0.1
"""On the scripted engine's cost of 0.3-1 s a call."""
SAMPLE_EVERY_S: Final = 2.0
HALF: Final = 0.5


def measure(sample: Path, directory: Path) -> dict[str, Any]:
    """Seconds to the end, and megabytes of each kind of process and of Redis over the chunks' course."""
    recording = directory / "day.mp3"
    repeat_sample(sample, HOURS * 3600, recording)
    with open_engine(Ledger()) as (url, engine):
        engine.pace = PACE
        with open_stack(directory / "day", scripted=ScriptedSettings(url=url, timeout_s=300.0)) as stack:
            figures = _run(stack, recording)
    click.echo(
        f"endurance {HOURS} h as one job: {figures['elapsed_s']:.0f} s, {figures['chunks']} chunks; "
        + "; ".join(f"{name} {row['middle_mb']} -> {row['end_mb']} MB" for name, row in figures["memory"].items())
    )
    return figures


def _run(stack: BenchStack, recording: Path) -> dict[str, Any]:
    samples: list[tuple[float, dict[str, float]]] = []
    is_over = threading.Event()

    def watch(job_id: str) -> None:
        broker = redis.Redis.from_url(stack.settings.redis_url)
        with stack.client() as client:
            while not is_over.wait(SAMPLE_EVERY_S):
                chunks = client.job(job_id)["chunks"]
                share = chunks["done"] / chunks["total"] if chunks["total"] else 0.0
                samples.append((share, {**processes.resident_mb(), "redis data": _redis_mb(broker)}))

    started = time.perf_counter()
    with stack.client() as client:
        options = {"engine": "scripted", "diarizer": "scripted", "cache": "bypass"}
        job_id = client.submit(recording, options)["id"]
        watcher = threading.Thread(target=watch, args=(job_id,))
        watcher.start()
        try:
            job = client.wait(job_id)
        finally:
            is_over.set()
            watcher.join()
    if job["status"] != "succeeded":
        raise RuntimeError(f"{job['status']}: {job['error']}")
    return {
        "elapsed_s": round(time.perf_counter() - started, 1),
        "chunks": job["chunks"]["total"],
        "memory": _summarise(samples),
    }


def _redis_mb(broker: redis.Redis) -> float:
    return float(broker.info("memory")["used_memory"]) / MB


def _summarise(samples: list[tuple[float, dict[str, float]]]) -> dict[str, dict[str, float]]:
    """Of each kind the figure in the middle of the chunks, at their end, and the peak over the whole run."""
    working = [row for share, row in samples if share > 0]
    middle = next((row for share, row in samples if share >= HALF), working[-1])
    return {
        name: {
            "first_mb": round(working[0].get(name, 0.0), 1),
            "middle_mb": round(middle.get(name, 0.0), 1),
            "end_mb": round(working[-1].get(name, 0.0), 1),
            "peak_mb": round(max(row.get(name, 0.0) for _, row in samples), 1),
        }
        for name in sorted(working[-1])
    }
