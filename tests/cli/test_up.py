"""The whole stack as a person starts it: real Redis, API, workers, beat and Flower."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx
import psutil
import pytest

from cli.client import ErniClient
from cli.port_checks import free_ports

pytestmark = pytest.mark.stack
START_LIMIT_S = 150
ERNI = [sys.executable, "-m", "cli.main"]


@dataclass
class RunningStack:
    process: subprocess.Popen[bytes]
    environment: dict[str, str]
    output: Path

    def told(self, pattern: str) -> str:
        """The first group of the pattern in what the terminal shows."""
        match = re.search(pattern, self.output.read_text())
        assert match is not None, self.output.read_text()
        return match[1]

    def refused_with(self, **environment: str) -> str:
        """Start another stack with a changed environment; returns its error."""
        answer = subprocess.run(
            [*ERNI, "up"], env=self.environment | environment, capture_output=True, text=True, check=False
        )
        assert answer.returncode == 2
        return answer.stderr


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningStack]:
    directory = tmp_path_factory.mktemp("stack")
    api, flower, redis = free_ports(3)
    environment = {name: value for name, value in os.environ.items() if not name.startswith("ERNI_")} | {
        "ERNI_DATA_DIR": str(directory / "data"),
        "ERNI_API__PORT": str(api),
        "ERNI_FLOWER__PORT": str(flower),
        "ERNI_REDIS__PORT": str(redis),
    }
    output = directory / "terminal"
    with (
        output.open("wb") as terminal,
        subprocess.Popen(
            [*ERNI, "up", "--verbose"], env=environment, stdout=terminal, stderr=subprocess.STDOUT
        ) as process,
    ):
        deadline_s = time.monotonic() + START_LIMIT_S
        while "Erni is ready." not in output.read_text():
            assert process.poll() is None, output.read_text()
            assert time.monotonic() < deadline_s, output.read_text()
            time.sleep(0.2)
        time.sleep(0.2)
        yield RunningStack(process, environment, output)
        process.terminate()


def is_alive(process: psutil.Process) -> bool:
    return process.is_running() and process.status() != psutil.STATUS_ZOMBIE


def test_key_shown_at_the_first_start_opens_the_api(stack):
    with ErniClient(stack.told(r"API +(\S+)"), stack.told(r"Key +(erni_\S+)")) as client:
        assert list(client.jobs(limit=1)) == []


def test_flower_opens_with_the_login_shown_and_not_without(stack):
    url = stack.told(r"Flower +(http\S+)")
    user, password = re.search(r"login (\S+) / (\S+)", stack.output.read_text()).groups()
    with httpx.Client(base_url=url, trust_env=False) as flower:
        assert flower.get("/workers").status_code == 401
        assert flower.get("/workers", auth=(user, password)).status_code == 200
    for process in psutil.Process(stack.process.pid).children():
        assert password not in " ".join(process.cmdline())


def test_verbose_shows_what_processes_write_under_their_name(stack):
    assert "worker-transcribe | " in stack.output.read_text()


def test_second_stack_on_the_same_data_is_refused(stack):
    assert "already runs on" in stack.refused_with()


def test_second_stack_on_other_data_is_told_which_port_is_taken(stack, tmp_path):
    error = stack.refused_with(ERNI_DATA_DIR=str(tmp_path))
    assert error == (
        f"Error: Port {stack.environment['ERNI_API__PORT']} is taken by another program. "
        "Set ERNI_API__PORT to a free one.\n"
    )


def test_killed_worker_comes_back(stack):
    supervisor = psutil.Process(stack.process.pid)
    worker = next(child for child in supervisor.children() if "default@%h" in child.cmdline())
    worker.kill()
    deadline_s = time.monotonic() + 15
    while "process_restarted" not in stack.output.read_text():
        assert time.monotonic() < deadline_s
        time.sleep(0.2)
    assert any("default@%h" in child.cmdline() for child in supervisor.children())


def test_termination_leaves_nothing_running(stack):
    family = psutil.Process(stack.process.pid).children(recursive=True)
    assert len(family) > 12
    stack.process.send_signal(signal.SIGTERM)
    assert stack.process.wait(90) == 0
    assert stack.output.read_text().endswith("Stopped.\n")
    assert [process for process in family if is_alive(process)] == []
