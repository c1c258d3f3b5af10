"""Processes that are killed, and hosts that are stopped."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from chaos.hosts import Host, HostFailed, is_alive, kill_processes, wait_until_gone

SLEEPER = "import time; time.sleep(60)"
POLITE = """
import signal, sys, time
signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
print("up", flush=True)
time.sleep(60)
"""
PARENT = f"import subprocess, sys; subprocess.Popen([sys.executable, '-c', {SLEEPER!r}]).wait()"


@pytest.fixture
def sleeper() -> Iterator[psutil.Process]:
    with subprocess.Popen([sys.executable, "-c", SLEEPER]) as process:
        yield psutil.Process(process.pid)
        process.kill()


def host(script: str, tmp_path: Path) -> Host:
    return Host("The host", ("-c", script), {}, tmp_path / "output")


def test_a_killed_process_is_gone_before_it_is_buried(sleeper: psutil.Process) -> None:
    assert kill_processes([sleeper]) == {sleeper.pid}
    wait_until_gone([sleeper], 5.0)
    assert sleeper.status() == psutil.STATUS_ZOMBIE
    assert not is_alive(sleeper)


def test_a_living_process_is_waited_for_no_longer_than_asked(sleeper: psutil.Process) -> None:
    started = time.monotonic()
    wait_until_gone([sleeper], 0.1)
    assert 0.1 <= time.monotonic() - started < 2.0
    assert is_alive(sleeper)


def test_a_killed_host_takes_its_processes_along(tmp_path: Path) -> None:
    killed = host(PARENT, tmp_path)
    killed.start()
    deadline = time.monotonic() + 10
    while len(family := killed.processes()) < 2:
        assert time.monotonic() < deadline
        time.sleep(0.02)
    assert killed.kill() == {process.pid for process in family}
    assert not killed.is_running
    wait_until_gone(family, 5.0)
    assert not any(is_alive(process) for process in family)


def test_a_host_that_ends_well_is_stopped(tmp_path: Path) -> None:
    stopped = host(POLITE, tmp_path)
    stopped.start()
    deadline = time.monotonic() + 10
    while "up" not in stopped.tail():
        assert time.monotonic() < deadline
        time.sleep(0.02)
    stopped.stop()
    assert not stopped.is_running


def test_a_host_that_ends_badly_has_failed(tmp_path: Path) -> None:
    failed = host("import sys; sys.exit('no port left')", tmp_path)
    failed.start()
    deadline = time.monotonic() + 10
    while failed.is_running:
        assert time.monotonic() < deadline
        time.sleep(0.02)
    with pytest.raises(HostFailed, match="no port left"):
        failed.stop()
