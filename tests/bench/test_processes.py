"""Telling a stack's processes apart, and reading what the system says of them."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from bench.processes import kind_of, parse_kb, used_cpu_s, watch

CELERY = ["/venv/bin/python", "/venv/bin/celery", "-A", "tasks.app"]


@pytest.mark.parametrize(
    ("command", "kind"),
    [
        ([*CELERY, "worker", "-Q", "transcribe", "-n", "transcribe@%h"], "worker transcribe"),
        ([*CELERY, "beat", "--schedule", "data/beat-schedule"], "beat"),
        ([*CELERY, "flower", "--conf=config/flower.py"], "flower"),
        (["/venv/bin/python", "/venv/bin/gunicorn", "--config", "config/gunicorn.py"], "api"),
        (["gunicorn: worker [erni-api]"], "api"),
        (["/wheel/bin/redis-server 127.0.0.1:6379"], "redis"),
        (["/wheel/ffmpeg-linux-x86_64-v7.0.2", "-i", "source"], "ffmpeg"),
        ([sys.executable, "-m", "bench", "memory"], None),
        ([], None),
    ],
)
def test_a_process_is_known_by_its_command(command: list[str], kind: str | None) -> None:
    assert kind_of(command) == kind


def test_a_field_of_proc_is_read_in_kilobytes() -> None:
    text = "Rss:              204 kB\nPss:               51 kB\nPss_Anon:           7 kB\n"
    assert parse_kb(text, "Pss") == 51.0
    assert parse_kb(text, "Swap") == 0.0


def test_processor_time_is_what_was_used_between_two_readings() -> None:
    before, after = {"api": 1.0, "redis": 2.0}, {"api": 1.254, "redis": 2.0, "ffmpeg": 0.5}
    assert used_cpu_s(before, after) == {"api": 0.25, "ffmpeg": 0.5}


HELD_AND_FREED = """
import subprocess, sys
from bench.processes import find_processes, peak_mb, reset_peaks

program = "data = bytearray(64 << 20); del data; print(flush=True); input()"
with subprocess.Popen(
    ["redis-server", "-c", program], executable=sys.executable, stdin=-1, stdout=-1, text=True
) as process:
    process.stdout.readline()
    kinds, grown = list(find_processes()), peak_mb()["redis"]
    reset_peaks()
    print(kinds, grown - peak_mb()["redis"] > 60)
    process.stdin.write("\\n")
"""


def test_a_peak_is_kept_until_it_is_reset() -> None:
    """A child of a process of its own, which has no other children, calls itself Redis and takes 64 MB for a while."""
    root = Path(__file__).parents[2]
    ran = subprocess.run([sys.executable, "-c", HELD_AND_FREED], cwd=root, capture_output=True, text=True, check=True)
    assert ran.stdout == "['redis'] True\n"


def test_watching_keeps_the_highest_of_each_reading() -> None:
    values = iter([1.0, 3.0, 2.0])
    with watch(lambda: {"api": next(values)}, lambda: {"redis": 7.0}) as (first, second):
        pass
    assert (first, second) == ({"api": 1.0}, {"redis": 7.0})
