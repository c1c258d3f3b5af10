"""A long recording through a vendor that limits, fails and takes its time, against the time its limits allow.

The vendor is the stand-in of OpenAI: it answers after a tenth of a chunk's length, fails 5 % of the calls with a 503
and refuses more than 50 calls a minute with 429 and ``Retry-After``. Erni has eight slots for it, and is either told of
the limit or finds it out. In the same run, on the same chunks and the same vendor, the scheme of Erni's predecessor:
three chunks at once, the two retries of the vendor's own library, and then the chunk is dropped.
"""

from __future__ import annotations

import heapq
import time
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any, Final

import click
import openai
from pydantic import SecretStr

from bench.recordings import shuffle_sample
from bench.stack import open_stack
from config.bootstrap import build_services
from config.engine_settings import OpenAISettings
from config.settings import QueueSettings, WorkerSettings
from erni import blob_paths
from erni.jobs import StepKind
from erni.media.audio import cut_chunk
from erni.steps.pieces import load_plan
from vendors.faults import Fault
from vendors.listening import ScriptedListening
from vendors.openai import API_KEY, OpenAIVendor
from vendors.server import serve

MINUTES: Final = 140
LATENCY: Final = 0.1
SLOTS: Final = 8
PER_MINUTE: Final = 50
FAILING: Final = 0.05
SEED: Final = 2026
OLD_SLOTS: Final = 3
OLD_RETRIES: Final = 2
MODEL: Final = "whisper-1"
ENGINE: Final = f"openai/{MODEL}"
MINUTE_S: Final = 60.0
TOO_MANY: Final = 429
BROKEN: Final = 503
CATALOGUE: Final = f'[[row]]\nprovider = "openai"\nmodel = "{MODEL}"\nrequests_per_minute = {PER_MINUTE}\n'


def measure(sample: Path, directory: Path, *, minutes: float = MINUTES) -> dict[str, Any]:
    """Seconds of each scheme against what the limits allow, and what each of them lost or paid twice."""
    recording = directory / "vendor.flac"
    shuffle_sample(sample, minutes * 60, recording)
    catalogue = directory / "vendor.toml"
    catalogue.write_text(CATALOGUE)
    click.echo(
        f"vendor    {minutes:g} min, answers after {LATENCY:g} s per second of audio, {FAILING:.0%} fail, at most "
        f"{PER_MINUTE} calls a minute"
    )
    vendor = OpenAIVendor(ScriptedListening(LATENCY))
    with serve(vendor.app) as served:
        settings = OpenAISettings(api_key=SecretStr(API_KEY), base_url=f"{served.url}/v1")
        told = _measure_erni(vendor, settings, recording, directory / "told", catalogue)
        found = _measure_erni(vendor, settings, recording, directory / "found", None)
        chunks = sorted((directory / "told-chunks").iterdir())
        return {
            "minutes": minutes,
            "chunks": len(chunks),
            "told": told,
            "found": found,
            "three": _measure_three(vendor, settings, chunks),
        }


def allowed_time_s(latencies_s: Sequence[float], failed: int) -> float:
    """The least time in which these answers, and so many failed calls among them, fit into the vendor's limits.

    Each call begins as soon as a slot is free and the call ``PER_MINUTE`` places before it began a minute ago; the
    failed ones take no time, but count.
    """
    every = len(latencies_s) // failed if failed else len(latencies_s) + 1
    begun: list[float] = []
    slots = [0.0] * SLOTS
    for place, latency_s in enumerate(latencies_s, start=1):
        for taken_s in (0.0, latency_s) if place % every == 0 else (latency_s,):
            free_s = heapq.heappop(slots)
            earliest_s = begun[-PER_MINUTE] + MINUTE_S if len(begun) >= PER_MINUTE else 0.0
            begun.append(max(free_s, earliest_s))
            heapq.heappush(slots, begun[-1] + taken_s)
    return max(slots)


def _measure_erni(
    vendor: OpenAIVendor, settings: OpenAISettings, recording: Path, directory: Path, catalogue: Path | None
) -> dict[str, Any]:
    """One job in a stack of its own; its chunks stay behind as files for the other scheme."""
    groups: dict[str, object] = {
        "openai": settings,
        "workers": WorkerSettings(transcribe=SLOTS),
        "queue": QueueSettings(window=SLOTS),
        "catalogue": catalogue,
    }
    with open_stack(directory, **groups) as stack:
        _trouble(vendor)
        with stack.client() as client:
            options = {"language": "en", "cache": "bypass", "engine": ENGINE, "diarizer": "none"}
            job = client.wait(client.submit(recording, options)["id"])
        services = build_services(stack.settings)
        plan = load_plan(services, job["id"])
        steps = [step for step in services.jobs.steps(job["id"]) if step.kind is StepKind.TRANSCRIBE]
        pieces = directory.with_name(f"{directory.name}-chunks")
        pieces.mkdir()
        with services.blobs.local_copy(blob_paths.canonical_audio(job["id"])) as audio:
            for chunk in plan.chunks:
                cut_chunk(audio, chunk.audio, pieces / f"{chunk.index:05d}.flac", "flac")
    row = {
        "status": job["status"],
        "total_s": job["timings"]["total_s"],
        "prepare_s": job["timings"]["prepare_s"],
        "lost": len(plan.chunks) - sum(step.status == "ok" for step in steps),
    }
    latencies = [chunk.audio.duration_s * LATENCY for chunk in plan.chunks]
    return _show("erni, told of the limit" if catalogue else "erni, not told", row | _account(vendor, latencies))


def _measure_three(vendor: OpenAIVendor, settings: OpenAISettings, chunks: Sequence[Path]) -> dict[str, Any]:
    """The predecessor's scheme, without the preparation and the join that it would need as well."""
    _trouble(vendor)
    client = openai.OpenAI(api_key=API_KEY, base_url=settings.base_url, max_retries=OLD_RETRIES)
    started = time.monotonic()
    with ThreadPoolExecutor(OLD_SLOTS) as pool:
        answered = list(pool.map(partial(_ask, client), chunks))
    row = {"total_s": round(time.monotonic() - started, 1), "lost": answered.count(False)}
    latencies = [vendor.listening.duration_s(chunk) * LATENCY for chunk in chunks]
    return _show("three at once", row | _account(vendor, latencies))


def _ask(client: openai.OpenAI, chunk: Path) -> bool:
    """Whether the chunk was answered; the predecessor left those out that were not."""
    try:
        client.audio.transcriptions.create(
            file=(chunk.name, chunk.read_bytes(), "audio/flac"), model=MODEL, response_format="verbose_json"
        )
    except openai.APIError:
        return False
    return True


def _trouble(vendor: OpenAIVendor) -> None:
    vendor.faults.clear()
    vendor.faults.share(Fault(status=BROKEN, path="/v1/audio"), FAILING, SEED)
    vendor.faults.limit(PER_MINUTE)


def _account(vendor: OpenAIVendor, latencies_s: Sequence[float]) -> dict[str, Any]:
    """What the vendor saw and would bill."""
    asked = [received for received in vendor.faults.received if received.path.startswith("/v1/audio")]
    refused = sum(received.status == TOO_MANY for received in asked)
    failed = sum(received.status == BROKEN for received in asked)
    paid = Counter(billed.digest for billed in vendor.faults.billed)
    return {
        "calls": len(asked),
        "refused": refused,
        "failed": failed,
        "paid_twice": sum(count - 1 for count in paid.values()),
        "allowed_s": round(allowed_time_s(latencies_s, failed), 1),
    }


def _show(name: str, row: dict[str, Any]) -> dict[str, Any]:
    row["ratio"] = round(row["total_s"] / row["allowed_s"], 3)
    click.echo(
        f"          {name}: {row['total_s']:.1f} s, {row['ratio']:.3f} x the {row['allowed_s']:.1f} s allowed; "
        f"{row['calls']} calls, {row['failed']} failed, {row['refused']} refused; {row['lost']} chunks lost, "
        f"{row['paid_twice']} paid twice"
    )
    return row
