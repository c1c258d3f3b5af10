"""What people see: tables on the output, progress bars on the error stream where it is a terminal."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, ProgressColumn, TextColumn, TransferSpeedColumn
from rich.table import Table

from cli.client import JobJson
from config.logging import configure_logging
from config.settings import Settings

_WIDTH_OF_FILES = 200


def configure_terminal_log(settings: Settings) -> None:
    """Show only what went wrong, on the error stream: the output belongs to the command's answer."""
    configure_logging(settings.log.model_copy(update={"level": "WARNING"}))


def print_table(table: Table) -> None:
    """As wide as the terminal; in a file or pipe as wide as it needs, so that no id is cut."""
    console = Console()
    if not console.is_terminal:
        console = Console(width=_WIDTH_OF_FILES)
    console.print(table)


@contextmanager
def show_upload(file: Path) -> Iterator[Callable[[int], None]]:
    """A bar of bytes; yields what wants to hear how many were sent."""
    with _bar(DownloadColumn(), TransferSpeedColumn()) as progress:
        bar = progress.add_task(f"sending {file.name}", total=file.stat().st_size)
        yield lambda sent_bytes: progress.update(bar, completed=sent_bytes)


@contextmanager
def show_work(job_id: str) -> Iterator[Callable[[JobJson], None]]:
    """A bar of the job's progress with its chunks; yields what wants to hear each state of the job."""
    with _bar(TextColumn("{task.fields[chunks]}")) as progress:
        bar = progress.add_task(f"job {job_id[:8]}", total=1.0, chunks="")

        def update(job: JobJson) -> None:
            total, done = job["chunks"]["total"], job["chunks"]["done"]
            progress.update(
                bar,
                completed=job["progress"],
                description=f"job {job_id[:8]} {job['status']}",
                chunks=f"{done}/{total} chunks" if total else "",
            )

        yield update


def _bar(*columns: ProgressColumn) -> Progress:
    console = Console(stderr=True)
    return Progress(
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        *columns,
        console=console,
        transient=True,
        disable=not console.is_terminal,
    )
