"""A running stack's processes by kind: their memory and processor time, read from the system."""

from __future__ import annotations

import threading
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

import psutil

MB: Final = 1024**2
KB_PER_MB: Final = 1024
SAMPLE_EVERY_S: Final = 1.0
_RESET_PEAK: Final = "5"
"""Written to ``clear_refs`` it sets a process's highest resident size back to its present one (proc(5))."""


def kind_of(command: list[str]) -> str | None:
    """Which of Erni's processes this is, by the queue or the program it serves; ``None`` for a stranger's."""
    programs = {Path(word).name for word in command[:3]}
    if "worker" in command and "-Q" in command:
        return f"worker {command[command.index('-Q') + 1]}"
    if any(word.startswith("gunicorn") for word in programs) or any("erni-api" in word for word in command[:1]):
        return "api"
    if "celery" in programs:
        return next((name for name in ("beat", "flower") if name in command), None)
    if any(word.startswith("redis-server") for word in programs):
        return "redis"
    return "ffmpeg" if any(word.startswith("ffmpeg") for word in programs) else None


def find_processes() -> dict[str, list[psutil.Process]]:
    """Those below this process, by kind."""
    found: defaultdict[str, list[psutil.Process]] = defaultdict(list)
    for process in psutil.Process().children(recursive=True):
        with suppress(psutil.Error):
            if (kind := kind_of(process.cmdline())) is not None:
                found[kind].append(process)
    return dict(found)


def cpu_s() -> dict[str, float]:
    """Processor seconds (user and system) that each kind has used, with its children that ended."""
    totals: defaultdict[str, float] = defaultdict(float)
    for kind, processes in find_processes().items():
        for process in processes:
            with suppress(psutil.Error):
                times = process.cpu_times()
                totals[kind] += times.user + times.system
                if kind.startswith("worker"):
                    # An ffmpeg that came and went was its worker's; pool processes that still run count for themselves.
                    totals[kind] += times.children_user + times.children_system
    return dict(totals)


def used_cpu_s(before: Mapping[str, float], after: Mapping[str, float]) -> dict[str, float]:
    """Seconds between two readings, by kind, to a hundredth; kinds that used none are left out."""
    used = {kind: round(seconds - before.get(kind, 0.0), 2) for kind, seconds in after.items()}
    return {kind: seconds for kind, seconds in sorted(used.items()) if seconds > 0}


def resident_mb() -> dict[str, float]:
    """The largest process of each kind now."""
    return _largest(lambda process: process.memory_info().rss / MB)


def shared_out_mb() -> dict[str, float]:
    """Of each kind the largest proportional size (PSS): a page that ``n`` processes share counts one ``n``-th."""
    return _largest(lambda process: parse_kb(Path(f"/proc/{process.pid}/smaps_rollup").read_text(), "Pss") / KB_PER_MB)


def peak_mb() -> dict[str, float]:
    """Of each kind the highest resident size a process has had since its start or since ``reset_peaks``."""
    return _largest(lambda process: parse_kb(Path(f"/proc/{process.pid}/status").read_text(), "VmHWM") / KB_PER_MB)


def reset_peaks() -> None:
    """Have the kernel measure peaks from now on."""
    for processes in find_processes().values():
        for process in processes:
            with suppress(OSError):
                Path(f"/proc/{process.pid}/clear_refs").write_text(_RESET_PEAK)


def parse_kb(text: str, field: str) -> float:
    """A field of ``/proc`` that reads ``Name:   12 kB``; 0 where it is missing."""
    for line in text.splitlines():
        name, _, value = line.partition(":")
        if name == field:
            return float(value.split()[0])
    return 0.0


@contextmanager
def watch(*readings: Callable[[], Mapping[str, float]]) -> Iterator[list[dict[str, float]]]:
    """Take the readings again and again meanwhile; yields a dictionary for each, which holds the highest so far."""
    highest: list[dict[str, float]] = [{} for _ in readings]
    is_over = threading.Event()

    def take() -> None:
        for seen, read in zip(highest, readings, strict=True):
            for name, value in read().items():
                seen[name] = max(seen.get(name, 0.0), value)

    def take_again_and_again() -> None:
        while not is_over.wait(SAMPLE_EVERY_S):
            take()

    watcher = threading.Thread(target=take_again_and_again, name="watch", daemon=True)
    watcher.start()
    try:
        yield highest
    finally:
        is_over.set()
        watcher.join()
        take()


def _largest(read: Callable[[psutil.Process], float]) -> dict[str, float]:
    largest: dict[str, float] = {}
    for kind, processes in find_processes().items():
        for process in processes:
            with suppress(psutil.Error, OSError):
                largest[kind] = max(largest.get(kind, 0.0), read(process))
    return largest
