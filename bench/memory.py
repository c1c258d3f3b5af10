"""Peak memory of the first step on a 10-hour recording: decode, find speech, plan, cut."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import click

from bench.recordings import repeat_sample

HOURS = 10


def measure(sample: Path, directory: Path) -> dict[str, Any]:
    """Seconds and peak resident bytes of a process that does nothing else."""
    workplace = directory / "long"
    workplace.mkdir()
    recording = workplace / "long.mp3"
    repeat_sample(sample, HOURS * 3600, recording)
    started = time.perf_counter()
    ran = subprocess.run(
        [sys.executable, "-m", "bench.ingest", recording, workplace],
        capture_output=True,
        text=True,
        check=True,
    )
    figures: dict[str, Any] = json.loads(ran.stdout.splitlines()[-1])
    figures["elapsed_s"] = round(time.perf_counter() - started, 1)
    click.echo(
        f"memory    {HOURS} h ingest: peak {figures['peak_mb']} MB, {figures['elapsed_s']} s, "
        f"{figures['chunks']} chunks"
    )
    return figures
