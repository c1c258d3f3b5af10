"""``python -m chaos [--seed N] [--jobs 30] [--faults 100 | --short] [--json FILE]``: break all, count the losses."""

from __future__ import annotations

import json
import secrets
import shutil
import signal
import tempfile
from pathlib import Path
from types import FrameType
from typing import NoReturn

import click

from chaos.campaign import SHORT_SCALE, Scale, run_campaign
from chaos.report import describe, print_report

RECORDINGS = 12


@click.command()
@click.option("--seed", type=int, help="Repeats a run's recordings, faults and their order. Unset: a new one.")
@click.option("--jobs", default=30, show_default=True, type=click.IntRange(1), help="Jobs in flight at a time.")
@click.option("--faults", default=100, show_default=True, type=click.IntRange(1), help="Faults, one after the other.")
@click.option("--short", is_flag=True, help="Five faults and six jobs in flight: the run of the tests.")
@click.option("--json", "raw", type=click.Path(path_type=Path), help="Where to keep every fault and what became of it.")
def main(*, seed: int | None, jobs: int, faults: int, short: bool, raw: Path | None) -> None:
    """Run both hosts under faults; exits 1 on a lost, stuck or wrong job or a payment made twice."""
    seed = secrets.randbelow(10_000) if seed is None else seed
    scale = SHORT_SCALE if short else Scale(in_flight=jobs, faults=faults, own=RECORDINGS, shared=RECORDINGS)
    signal.signal(signal.SIGTERM, _leave)
    directory = Path(tempfile.mkdtemp(prefix="erni-chaos-"))
    click.echo(f"seed {seed}; the stack's data and logs: {directory}")
    report = run_campaign(directory, seed, scale)
    print_report(report)
    if raw is not None:
        raw.write_text(json.dumps(describe(report), indent=1) + "\n")
    if not report.is_good:
        click.echo(f"The data and logs are kept in {directory}.")
        raise SystemExit(1)
    shutil.rmtree(directory)


def _leave(_number: int, _frame: FrameType | None) -> NoReturn:
    """End as after Ctrl-C, so that both hosts are stopped."""
    raise KeyboardInterrupt


if __name__ == "__main__":
    main()
