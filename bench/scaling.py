"""How one long recording's time falls with the number of latency-bound slots, against the ideal.

A slot is a transcribe process that waits for a remote engine, here a scripted one with a known latency and no
processor time. The recording is 140 minutes long; each number of slots has a stack of its own, whose window for a job
is that number. No speakers are looked for.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import click

from bench import processes
from bench.efficiency import (
    Span,
    busy_share,
    even_split_s,
    find_losses,
    list_schedule_s,
    longest_first_s,
)
from bench.engine import Call, TimedEngine, open_engine
from bench.recordings import shuffle_sample
from bench.stack import open_stack
from config.bootstrap import build_services
from config.engine_settings import ScriptedSettings
from config.settings import QueueSettings, WorkerSettings
from erni.jobs import Step, StepKind

SLOTS: Final = (1, 2, 4, 8, 16, 32)
MINUTES: Final = 140
PACE: Final = 0.1
"""Seconds of latency per second of audio, as a remote engine takes: 4.4 s for a chunk of 44 s. The shorter an answer
takes, the more what surrounds it weighs."""
WARM_UP_S: Final = 30
TIMEOUT_S: Final = 300.0


def measure(
    sample: Path, directory: Path, *, slots: Sequence[int] = SLOTS, minutes: float = MINUTES, pace: float = PACE
) -> dict[str, Any]:
    """Seconds, ideals and losses for each number of slots."""
    recording, short = directory / "scaling.flac", directory / "scaling-warm-up.flac"
    shuffle_sample(sample, minutes * 60, recording)
    shuffle_sample(sample, WARM_UP_S, short)
    click.echo(
        f"scaling   {minutes:g} min, an engine that answers after {pace:g} s per second of audio, no speakers; from "
        "the first chunk begun to the last one ended, by the steps' records"
    )
    with open_engine() as engine:
        rows = [_measure_slots(engine, number, pace, (short, recording, directory)) for number in slots]
    return {"minutes": minutes, "pace": pace, "slots": rows}


def _measure_slots(engine: TimedEngine, slots: int, pace: float, files: tuple[Path, Path, Path]) -> dict[str, Any]:
    short, recording, directory = files
    groups = {
        "scripted": ScriptedSettings(url=engine.url, timeout_s=TIMEOUT_S),
        "workers": WorkerSettings(transcribe=slots),
        "queue": QueueSettings(window=slots),
    }
    with open_stack(directory / f"slots-{slots}", **groups) as stack:
        engine.pace = 0.0
        for _ in range(2):
            stack.run(short, engine="scripted", diarizer="none")
        engine.take_calls()
        engine.pace = pace
        before = processes.cpu_s()
        job = stack.run(recording, engine="scripted", diarizer="none")
        used = processes.used_cpu_s(before, processes.cpu_s())
        steps = build_services(stack.settings).jobs.steps(job["id"])
    row = describe(slots, steps, engine.take_calls()) | {"timings": job["timings"], "cpu_s": used}
    _show(row)
    time.sleep(1.0)
    return row


def describe(slots: int, steps: Sequence[Step], calls: Sequence[Call]) -> dict[str, Any]:
    """The figures of one run. Latencies are the engine's; begins and ends are those the steps' records give."""
    chunks = sorted((step for step in steps if step.kind is StepKind.TRANSCRIBE), key=lambda step: step.part)
    spans = [
        Span(step.started_at.timestamp(), step.finished_at.timestamp())
        for step in chunks
        if step.finished_at is not None
    ]
    pace = statistics.fmean(call.latency_s / call.audio_s for call in calls)
    latencies = _in_order(chunks, calls)
    actual_s = max(span.end_s for span in spans) - min(span.start_s for span in spans)
    ideal_s = even_split_s(latencies, slots)
    plans = {
        "in_order_s": list_schedule_s(latencies, slots),
        "longest_first_s": longest_first_s(latencies, slots),
    }
    whole_s = min(plans.values())
    losses = find_losses(spans, slots)
    beyond = [(span.end_s - span.start_s) - latency for span, latency in zip(spans, latencies, strict=True)]
    return {
        "slots": slots,
        "chunks": len(spans),
        "pace": round(pace, 4),
        "engine_s": round(sum(latencies), 2),
        "actual_s": round(actual_s, 2),
        "ideal_s": round(ideal_s, 2),
        "whole_chunks_s": round(whole_s, 2),
        **{name: round(planned_s, 2) for name, planned_s in plans.items()},
        "efficiency": round(ideal_s / actual_s, 3),
        "whole_chunks_efficiency": round(whole_s / actual_s, 3),
        "busy_share": round(busy_share(spans, slots), 3),
        "ramp_s": round(losses.ramp_s, 3),
        "gap_ms": round(losses.gap_s * 1000, 1),
        "tail_s": round(losses.tail_s, 3),
        "beyond_engine_ms": round(statistics.median(beyond) * 1000, 1),
    }


def _in_order(chunks: Sequence[Step], calls: Sequence[Call]) -> list[float]:
    """Latencies by chunk: the k-th longest time inside an engine belongs to the k-th longest latency.

    The engine does not know chunk numbers; the steps' own figure is the latency and a few milliseconds more.
    """
    by_length = sorted(range(len(chunks)), key=lambda place: chunks[place].engine_s or 0.0)
    latencies = [0.0] * len(chunks)
    for place, latency_s in zip(by_length, sorted(call.latency_s for call in calls), strict=True):
        latencies[place] = latency_s
    return latencies


def _show(row: dict[str, Any]) -> None:
    click.echo(
        f"          {row['slots']:2d} slots, {row['chunks']} chunks: {row['actual_s']:.2f} s; latencies / slots "
        f"{row['ideal_s']:.2f} s: efficiency {row['efficiency']:.3f}; whole chunks at best "
        f"{row['whole_chunks_s']:.2f} s: {row['whole_chunks_efficiency']:.3f}; "
        f"whole job {row['timings']['total_s']:.1f} s"
    )
    click.echo(
        f"             {row['gap_ms']:.0f} ms between two chunks of a slot, {row['beyond_engine_ms']:.0f} ms in a "
        f"chunk beyond its engine; idle {row['ramp_s']:.2f} s at the begin, {row['tail_s']:.2f} s at the end"
    )
