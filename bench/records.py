"""How many changes the embedded records take: each is a transaction, synced to the disk, one at a time."""

from __future__ import annotations

import statistics
import time
import uuid
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import click

from erni.jobs import Job, JobOptions, JobStatus, Piece, StepKind
from erni.stores.database import migrate, open_database
from erni.stores.sql_jobs import SqlJobStore

STEPS: Final = 500


def measure(directory: Path) -> dict[str, Any]:
    """Milliseconds of a step's begin or end, and how many of them one writer after the other can do in a second."""
    file = directory / "bench-records.db"
    database = open_database(f"sqlite:///{file}")
    migrate(database)
    empty_bytes = file.stat().st_size
    store = SqlJobStore(database)
    job = store.add(Job(uuid.uuid4().hex, "bench", JobStatus.QUEUED, JobOptions(), datetime.now(UTC), "sha256:0", 1))
    taken_s: list[float] = []
    cpu_s = time.process_time()
    for part in range(STEPS):
        started_s = time.perf_counter()
        step = store.begin_step(job.job_id, Piece(StepKind.TRANSCRIBE, part))
        begun_s = time.perf_counter()
        store.finish_step(replace(step, status="ok", finished_at=step.started_at, elapsed_s=1.0, engine_s=1.0))
        taken_s += [begun_s - started_s, time.perf_counter() - begun_s]
    cpu_s = time.process_time() - cpu_s
    database.dispose()
    figures = {
        "bytes_per_step": round((file.stat().st_size - empty_bytes) / STEPS),
        "median_ms": round(statistics.median(taken_s) * 1000, 2),
        "cpu_ms": round(cpu_s / len(taken_s) * 1000, 2),
        "per_s": round(1 / statistics.fmean(taken_s)),
    }
    click.echo(
        f"records   SQLite: {figures['median_ms']} ms per change (median of {len(taken_s)}), {figures['cpu_ms']} ms of "
        f"processor, {figures['per_s']} in a second; "
        f"{figures['bytes_per_step']} bytes per step"
    )
    return figures
