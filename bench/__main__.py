"""``python -m bench [SECTION …]``: measure, print the figures and a table of them, and keep them as JSON."""

from __future__ import annotations

import json
import platform
import re
import tempfile
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import click
from rich.console import Console

from bench import (
    cache,
    endurance,
    fairness,
    memory,
    overhead,
    records,
    scaling,
    speed,
    startup,
    traffic,
    uploads,
    vendor,
)
from bench.stack import BenchStack, open_stack
from bench.summary import SECTIONS, render_table, summarise

PROJECT_DIR: Final = Path(__file__).parent.parent
SAMPLES: Final = PROJECT_DIR / "samples"
RESULTS: Final = PROJECT_DIR / "bench-results"
LONGEST: Final = "10 h"
OWN_STACK: Final[dict[str, Callable[[Path], Any]]] = {
    "startup": startup.measure,
    "uploads": uploads.measure,
    "overhead": lambda directory: overhead.measure(SAMPLES / "standup.flac", directory),
    "traffic": lambda directory: traffic.measure(SAMPLES / "standup.flac", directory),
    "records": records.measure,
    "scaling": lambda directory: scaling.measure(SAMPLES / "standup.flac", directory),
    "vendor": lambda directory: vendor.measure(SAMPLES / "standup.flac", directory),
    "endurance": lambda directory: endurance.measure(SAMPLES / "standup.flac", directory),
}
"""Sections that start what they measure themselves; the others share a stack."""


@click.command()
@click.argument("sections", nargs=-1, type=click.Choice(tuple(SECTIONS)))
@click.option("--audio", type=click.Path(exists=True, path_type=Path), help="A longer recording than the sample's.")
@click.option("--reference", type=click.Path(exists=True, path_type=Path), help="Its words, as plain text.")
@click.option("--ten-hours", is_flag=True, help="Measure memory up to ten hours of audio; a quarter of an hour more.")
@click.option("--json", "raw", type=click.Path(path_type=Path), help="Where to keep the figures.")
def main(
    sections: tuple[str, ...],
    audio: Path | None,
    reference: Path | None,
    raw: Path | None,
    *,
    ten_hours: bool,
) -> None:
    """Without sections, all of them run. Needs a quiet machine; takes an hour and a quarter."""
    wanted = sections or tuple(SECTIONS)
    started_at = datetime.now(UTC)
    figures: dict[str, Any] = {"machine": describe_machine(), "at": started_at.isoformat(timespec="seconds")}
    raw = raw or RESULTS / result_name(started_at)
    raw.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="erni-bench-") as name:
        directory = Path(name)
        for section, measure in _choose(wanted, directory, ten_hours=ten_hours).items():
            figures[section] = measure()
            _keep(raw, figures)
        if set(wanted) - set(OWN_STACK) - {"memory"}:
            with open_stack(directory / "data") as stack:
                for section, value in _measure_shared(stack, wanted, directory, (audio, reference)):
                    figures[section] = value
                    _keep(raw, figures)
    Console().print(render_table(summarise(figures)))
    click.echo(f"Kept in {raw}")


def _choose(wanted: tuple[str, ...], directory: Path, *, ten_hours: bool) -> dict[str, Callable[[], Any]]:
    """The sections with a stack of their own."""
    chosen: dict[str, Callable[[], Any]] = {
        section: lambda measure=measure: measure(directory)  # type: ignore[misc]  # mypy knows no such default
        for section, measure in OWN_STACK.items()
        if section in wanted
    }
    if "memory" in wanted:
        lengths = [length for length in memory.LENGTHS_S if ten_hours or length != LONGEST]
        chosen["memory"] = lambda: memory.measure(SAMPLES / "standup.flac", directory, lengths)
    return chosen


def _measure_shared(
    stack: BenchStack, wanted: tuple[str, ...], directory: Path, own: tuple[Path | None, Path | None]
) -> Iterator[tuple[str, Any]]:
    recordings = speed.find_recordings(SAMPLES, directory, *own)
    measures: dict[str, Callable[[], Any]] = {
        "speed": lambda: speed.measure(stack, recordings),
        "cache": lambda: cache.measure(stack, recordings[-1].path, directory),
        "fairness": lambda: fairness.measure(stack, SAMPLES / "standup.flac", directory),
    }
    for section, measure in measures.items():
        if section in wanted:
            yield section, measure()


def describe_machine() -> str:
    """Processor and cores, as far as the system tells."""
    model = platform.processor() or platform.machine()
    cpuinfo = Path("/proc/cpuinfo")
    lines = cpuinfo.read_text().splitlines() if cpuinfo.exists() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return f"{len(names) or '?'} × {names[0] if names else model}, Python {platform.python_version()}"


def result_name(at: datetime) -> str:
    """``2026-11-22T1830-host.json``: one file per run and machine."""
    host = re.sub(r"[^A-Za-z0-9.-]", "-", platform.node()) or "host"
    return f"{at:%Y-%m-%dT%H%M}-{host}.json"


def _keep(raw: Path, figures: dict[str, Any]) -> None:
    raw.write_text(json.dumps(figures, indent=1) + "\n")


if __name__ == "__main__":
    main()
