"""``python -m bench [SECTION …] [--audio FILE --reference FILE] [--json FILE]``: measure and print the figures."""

from __future__ import annotations

import json
import platform
import shutil
import tempfile
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click

from bench import cache, endurance, fairness, latency, memory, speed, uploads
from bench.stack import BenchStack, open_stack

SAMPLES = Path(__file__).parent.parent / "samples"
SECTIONS = ("speed", "overhead", "cache", "fairness", "uploads", "memory", "endurance")


@click.command()
@click.argument("sections", nargs=-1, type=click.Choice(SECTIONS))
@click.option("--audio", type=click.Path(exists=True, path_type=Path), help="A longer recording than the sample's.")
@click.option("--reference", type=click.Path(exists=True, path_type=Path), help="Its words, as plain text.")
@click.option("--json", "raw", type=click.Path(path_type=Path), help="Where to keep the raw figures.")
def main(sections: tuple[str, ...], audio: Path | None, reference: Path | None, raw: Path | None) -> None:
    """Without sections, all of them run. Needs a quiet machine; takes some minutes."""
    wanted = sections or SECTIONS
    figures: dict[str, Any] = {
        "machine": describe_machine(),
        "at": datetime.now(UTC).isoformat(timespec="seconds"),
    }
    with tempfile.TemporaryDirectory(prefix="erni-bench-") as name:
        directory = Path(name)
        if "memory" in wanted:
            figures["memory"] = memory.measure(SAMPLES / "standup.flac", directory)
            shutil.rmtree(directory / "long", ignore_errors=True)
        if "uploads" in wanted:
            figures["uploads"] = uploads.measure(directory)
        if "endurance" in wanted:
            figures["endurance"] = endurance.measure(SAMPLES / "standup.flac", directory)
        if set(wanted) - {"memory", "uploads", "endurance"}:
            with open_stack(directory / "data") as stack:
                figures |= _measure_stack(stack, wanted, directory, audio, reference)
    if raw is not None:
        raw.write_text(json.dumps(figures, indent=1) + "\n")


def _measure_stack(
    stack: BenchStack, wanted: tuple[str, ...], directory: Path, audio: Path | None, reference: Path | None
) -> dict[str, Any]:
    figures: dict[str, Any] = {}
    recordings = speed.find_recordings(SAMPLES, directory, audio, reference)
    if "speed" in wanted:
        figures["speed"] = speed.measure(stack, recordings)
    if "overhead" in wanted:
        figures["overhead"] = latency.measure_overhead(stack, SAMPLES / "standup.flac", directory)
    if "cache" in wanted:
        figures["cache"] = cache.measure(stack, recordings[-1].path, directory)
    if "fairness" in wanted:
        figures["fairness"] = fairness.measure(stack, SAMPLES / "standup.flac", directory)
    return figures


def describe_machine() -> str:
    """Processor and cores, as far as the system tells."""
    model = platform.processor() or platform.machine()
    cpuinfo = Path("/proc/cpuinfo")
    lines = cpuinfo.read_text().splitlines() if cpuinfo.exists() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return f"{len(names) or '?'} × {names[0] if names else model}, Python {platform.python_version()}"


if __name__ == "__main__":
    main()
