"""The two hosts of the run: the embedded stack as ``erni up`` starts it, and workers beside it as on a second host.

Finds their processes by what they were started as, and ends only these.
"""

from __future__ import annotations

import secrets
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import psutil

from cli.port_checks import free_ports
from cli.readiness import probe_readiness
from config.settings import child_environment

PROJECT: Final = Path(__file__).parent.parent
START_LIMIT_S: Final = 180.0
STOP_LIMIT_S: Final = 90.0
ENGINE_TIMEOUT_S: Final = 4.0
PROBE_EVERY_S: Final = 0.2
GONE_EVERY_S: Final = 0.01
FIRST: Final = ("-m", "cli.main", "up")
SECOND: Final = ("-m", "chaos.second_host")


class HostFailed(Exception):
    """A host does not start or stop; the message holds what it printed."""


@dataclass(slots=True)
class Host:
    """A supervisor and what it started, in a session of its own."""

    name: str
    arguments: tuple[str, ...]
    environment: Mapping[str, str]
    output: Path
    _popen: subprocess.Popen[bytes] | None = field(default=None, init=False)

    def start(self) -> None:
        with self.output.open("ab") as log:
            self._popen = subprocess.Popen(
                [sys.executable, *self.arguments],
                cwd=PROJECT,
                env=dict(self.environment),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    @property
    def is_running(self) -> bool:
        return self._popen is not None and self._popen.poll() is None

    def processes(self) -> list[psutil.Process]:
        """Everything below the supervisor, and the supervisor first."""
        if self._popen is None or self._popen.poll() is not None:
            return []
        with suppress(psutil.NoSuchProcess):
            supervisor = psutil.Process(self._popen.pid)
            return [supervisor, *supervisor.children(recursive=True)]
        return []

    def mains(self) -> list[psutil.Process]:
        """What the supervisor itself started: a worker's or gunicorn's main process, beat, Redis."""
        if self._popen is None or self._popen.poll() is not None:
            return []
        with suppress(psutil.NoSuchProcess):
            return psutil.Process(self._popen.pid).children()
        return []

    def stop(self) -> None:
        """As an operator would: SIGTERM, and wait. Raises HostFailed, after killing what is left."""
        if self._popen is None:
            return
        family = self.processes()
        if self._popen.poll() is None:
            self._popen.send_signal(signal.SIGTERM)
        try:
            code = self._popen.wait(STOP_LIMIT_S)
        except subprocess.TimeoutExpired:
            kill_processes(family)
            raise HostFailed(f"{self.name} did not stop within {STOP_LIMIT_S:.0f} s.\n{self.tail()}") from None
        left = [process for process in family if is_alive(process)]
        kill_processes(left)
        if code != 0 or left:
            raise HostFailed(f"{self.name} ended with {code} and left {len(left)} processes.\n{self.tail()}")

    def kill(self) -> frozenset[int]:
        """The whole host at once, as a power cut; the supervisor first, so that it can do nothing about it."""
        killed = kill_processes(self.processes())
        if self._popen is not None:
            self._popen.wait(STOP_LIMIT_S)
        return killed

    def tail(self) -> str:
        return self.output.read_text(errors="replace")[-3000:] if self.output.exists() else ""


def kill_processes(processes: list[psutil.Process]) -> frozenset[int]:
    """SIGKILL to each; returns those that were there to be killed."""
    killed = set()
    for process in processes:
        with suppress(psutil.NoSuchProcess):
            process.kill()
            killed.add(process.pid)
    return frozenset(killed)


def wait_until_gone(processes: Sequence[psutil.Process], limit_s: float) -> None:
    """Wait until none of these runs any more; one that only waits to be buried is gone."""
    until_s = time.monotonic() + limit_s
    while any(is_alive(process) for process in processes) and time.monotonic() < until_s:
        time.sleep(GONE_EVERY_S)


def is_alive(process: psutil.Process) -> bool:
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


@dataclass(frozen=True, slots=True)
class Hosts:
    """Both hosts, and how to reach them."""

    first: Host
    second: Host
    api_url: str
    key: str
    redis_url: str
    data_dir: Path

    def workers(self, queue: str | None = None) -> list[psutil.Process]:
        """Main processes of the workers, of both hosts, that serve ``queue`` (``None``: any)."""
        return [
            process
            for host in (self.first, self.second)
            for process in host.mains()
            if _serves(_command(process), queue)
        ]

    def main_of(self, *words: str) -> list[psutil.Process]:
        """The first host's main processes whose command holds these words."""
        return [
            process
            for process in self.first.mains()
            if all(any(word in part for part in _command(process)) for word in words)
        ]

    def is_ready(self) -> bool:
        return probe_readiness(self.api_url).is_ready

    def wait_until_ready(self) -> None:
        """Raises HostFailed."""
        deadline_s = time.monotonic() + START_LIMIT_S
        while not self.is_ready():
            for host in (self.first, self.second):
                if not host.is_running:
                    raise HostFailed(f"{host.name} ended while it started.\n{host.tail()}")
            if time.monotonic() > deadline_s:
                raise HostFailed(f"Not ready after {START_LIMIT_S:.0f} s.\n{self.first.tail()}")
            time.sleep(PROBE_EVERY_S)


def _command(process: psutil.Process) -> list[str]:
    with suppress(psutil.NoSuchProcess, psutil.ZombieProcess):
        return process.cmdline()
    return []


def _serves(command: list[str], queue: str | None) -> bool:
    if "worker" not in command or "-Q" not in command:
        return False
    return queue is None or queue in command[command.index("-Q") + 1].split(",")


def _host_environment(data_dir: Path, key: str, ports: tuple[int, int, int], engine_url: str) -> dict[str, str]:
    """Production's settings but for the stores, the engine and chunks so short that a minute has several."""
    api_port, flower_port, redis_port = ports
    inherited = {name: value for name, value in child_environment({}).items() if not name.startswith("ERNI_")}
    return inherited | {
        "ERNI_DATA_DIR": str(data_dir),
        "ERNI_ADMIN_KEY": key,
        "ERNI_API__PORT": str(api_port),
        "ERNI_FLOWER__PORT": str(flower_port),
        "ERNI_FLOWER__PASSWORD": secrets.token_urlsafe(12),
        "ERNI_REDIS__PORT": str(redis_port),
        "ERNI_SCRIPTED__URL": engine_url,
        "ERNI_SCRIPTED__TIMEOUT_S": str(ENGINE_TIMEOUT_S),
        "ERNI_JOBS__ENGINE": "scripted",
        "ERNI_JOBS__DIARIZER": "scripted",
        "ERNI_CHUNKS__TARGET_S": "10",
        "ERNI_CHUNKS__MAX_S": "15",
    }


@contextmanager
def open_hosts(directory: Path, engine_url: str) -> Iterator[Hosts]:
    """Start both hosts on a new data directory, and stop them on leaving."""
    api_port, flower_port, redis_port = free_ports(3)
    key = secrets.token_urlsafe(32)
    data_dir = directory / "data"
    environment = _host_environment(data_dir, key, (api_port, flower_port, redis_port), engine_url)
    hosts = Hosts(
        Host("The first host", FIRST, environment, directory / "first.output"),
        Host(
            "The second host",
            SECOND,
            {**environment, "ERNI_REDIS__URL": f"redis://127.0.0.1:{redis_port}/0"},
            directory / "second.output",
        ),
        f"http://127.0.0.1:{api_port}",
        key,
        f"redis://127.0.0.1:{redis_port}/0",
        data_dir,
    )
    try:
        hosts.first.start()
        hosts.second.start()
        hosts.wait_until_ready()
        yield hosts
    finally:
        family = [*hosts.first.processes(), *hosts.second.processes()]
        try:
            hosts.second.stop()
        finally:
            try:
                hosts.first.stop()
            finally:
                kill_processes(family)
