"""A whole embedded stack of its own, started as `erni up` starts it, and a client for it."""

from __future__ import annotations

import contextlib
import os
import secrets
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import psutil
import pytest

from cli.client import ErniClient
from cli.port_checks import free_ports
from erni.media.ffmpeg import find_ffmpeg

START_TIMEOUT_S = 150.0
PROJECT = Path(__file__).parents[2]


@dataclass(frozen=True)
class RunningStack:
    """``supervisor`` is the process of `erni up`; ``output`` is what it prints."""

    supervisor: subprocess.Popen[bytes]
    output: Path
    data_dir: Path
    api_url: str
    flower_url: str
    key: str

    def client(self) -> ErniClient:
        return ErniClient(self.api_url, self.key)

    def worker(self, queue: str) -> psutil.Process:
        """The main process of the worker that serves a queue."""
        for process in psutil.Process(self.supervisor.pid).children(recursive=True):
            # Processes come and go while we look.
            with contextlib.suppress(psutil.Error):
                command, parent = process.cmdline(), process.parent()
                if {"worker", queue} <= set(command) and parent is not None and "worker" not in parent.cmdline():
                    return process
        raise AssertionError(f"no worker serves {queue}")


def start_stack(data_dir: Path, **variables: str) -> RunningStack:
    """A value of ``{api_url}`` becomes the address of the stack's own API."""
    api_port, flower_port, redis_port = free_ports(3)
    key = secrets.token_urlsafe(32)
    environment = {
        **{name: value for name, value in os.environ.items() if not name.startswith("ERNI_")},
        "ERNI_DATA_DIR": str(data_dir),
        "ERNI_ADMIN_KEY": key,
        "ERNI_API__PORT": str(api_port),
        "ERNI_FLOWER__PORT": str(flower_port),
        "ERNI_FLOWER__PASSWORD": "flower-password",
        "ERNI_REDIS__PORT": str(redis_port),
        **{name: value.replace("{api_url}", f"http://127.0.0.1:{api_port}") for name, value in variables.items()},
    }
    output = data_dir.with_name(f"{data_dir.name}.output")
    with output.open("wb") as log:
        supervisor = subprocess.Popen(
            [sys.executable, "-m", "cli.main", "up"], cwd=PROJECT, env=environment, stdout=log, stderr=log
        )
    stack = RunningStack(
        supervisor,
        output,
        data_dir,
        f"http://127.0.0.1:{api_port}",
        f"http://127.0.0.1:{flower_port}",
        key,
    )
    try:
        wait_until_ready(stack)
    except BaseException:
        stop_stack(stack)
        raise
    return stack


def wait_until_ready(stack: RunningStack) -> None:
    deadline = time.monotonic() + START_TIMEOUT_S
    while b"Erni is ready." not in stack.output.read_bytes():
        assert stack.supervisor.poll() is None, stack.output.read_text()
        assert time.monotonic() < deadline, stack.output.read_text()
        time.sleep(0.2)


def stop_stack(stack: RunningStack) -> int:
    if stack.supervisor.poll() is None:
        stack.supervisor.send_signal(signal.SIGINT)
    try:
        return stack.supervisor.wait(60)
    except subprocess.TimeoutExpired:
        stack.supervisor.kill()
        raise


@pytest.fixture(scope="session")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningStack]:
    """One stack for all tests that leave it as they found it."""
    running = start_stack(tmp_path_factory.mktemp("stack") / "data")
    yield running
    assert stop_stack(running) == 0, running.output.read_text()


@pytest.fixture
def client(stack: RunningStack) -> Iterator[ErniClient]:
    with stack.client() as opened:
        yield opened


@pytest.fixture(scope="module")
def start_for_module(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[..., RunningStack]]:
    """Starts stacks with settings of their own, for all tests of a module."""
    running: list[RunningStack] = []

    def start(name: str, **variables: str) -> RunningStack:
        running.append(start_stack(tmp_path_factory.mktemp(name) / "data", **variables))
        return running[-1]

    yield start
    for stack in running:
        assert stop_stack(stack) == 0, stack.output.read_text()


@pytest.fixture
def new_stack(tmp_path: Path) -> Iterator[Callable[..., RunningStack]]:
    """Starts stacks for one test, with settings of its own; they are stopped with it."""
    started: list[RunningStack] = []

    def start(name: str, **variables: str) -> RunningStack:
        started.append(start_stack(tmp_path / name, **variables))
        return started[-1]

    yield start
    for running in started:
        stop_stack(running)


@pytest.fixture(scope="session")
def ffmpeg() -> Callable[..., None]:
    """Runs ffmpeg with arguments."""
    program = find_ffmpeg(None)

    def run(*arguments: str | Path) -> None:
        subprocess.run([program, "-nostdin", "-y", "-loglevel", "error", *arguments], check=True)

    return run
