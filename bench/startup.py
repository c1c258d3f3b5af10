"""How long each process takes to be ready for work, alone and all together, and what it spends that on.

Ready is: the API and Flower answer, every pool process of a worker has said ``process_ready`` in its log, beat has
said that it starts. Each is started alone beside a Redis that runs, as a container would start it.
"""

from __future__ import annotations

import re
import subprocess
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import click
import httpx
import psutil
from redis.exceptions import RedisError

from bench import processes
from bench.stack import open_stack
from cli.demo import demo_settings
from cli.embedded import PROJECT_DIR, load_commands, stack_environment
from cli.processes import Command
from config.bootstrap import build_redis, initialise
from config.settings import Settings, WorkerSettings, load_settings

LIMIT_S: Final = 120.0
POLL_S: Final = 0.02
HEAVIEST: Final = 3
US_PER_S: Final = 1_000_000
IMPORT_LINE: Final = re.compile(r"import time:\s+(?P<self_us>\d+) \|\s+\d+ \|\s+(?P<name>\S+)")
READY_LINE: Final = {"worker": "process_ready", "beat": "beat: Starting"}


@dataclass(frozen=True, slots=True)
class Start:
    """``cpu_s`` is of the process and all below it, until it was ready."""

    ready_s: float
    cpu_s: float


def measure(directory: Path) -> dict[str, Any]:
    """Seconds until ready and processor seconds of each process alone and of the whole stack, and heavy imports."""
    directory = directory / "startup"
    directory.mkdir()
    # One process per kind: lines of several would run into each other in the log of the imports.
    workers = WorkerSettings(media=1, transcribe=1, diarize=1, default=1, long=1)
    settings = demo_settings(load_settings(), directory / "data").model_copy(update={"workers": workers})
    settings = settings.model_copy(update={"api": settings.api.model_copy(update={"workers": 1})})
    commands = load_commands(settings)
    rows: dict[str, dict[str, Any]] = {}
    initialise(settings)
    with _open_redis(settings, commands, directory):
        for command in (command for command in commands if command.name != "redis"):
            starter = _Starter(settings, command, directory)
            start = starter.start({})
            imports = heaviest_imports(starter.read_imports())
            rows[command.name] = {
                "ready_s": round(start.ready_s, 2),
                "cpu_s": round(start.cpu_s, 2),
                "imports_s": imports,
            }
            _show(command.name, rows[command.name])
    whole = _start_stack(directory)
    click.echo(f"startup   the whole stack: ready after {whole['ready_s']} s, {whole['cpu_s']} s of processor")
    return {"alone": rows, "stack": whole}


def parse_imports(log: str) -> Counter[str]:
    """Microseconds spent in each top-level package's own modules, from a log of ``-X importtime``."""
    spent: Counter[str] = Counter()
    for line in log.splitlines():
        if (match := IMPORT_LINE.search(line)) is not None:
            spent[match["name"].partition(".")[0]] += int(match["self_us"])
    return spent


def heaviest_imports(spent: Counter[str]) -> dict[str, float]:
    """All imports and the heaviest packages, in seconds. Measuring makes imports slower; shares are what counts."""
    heaviest = {name: round(spent_us / US_PER_S, 2) for name, spent_us in spent.most_common(HEAVIEST)}
    return {"all": round(spent.total() / US_PER_S, 2), **heaviest}


class _Starter:
    """Starts one of the Procfile's commands, watches it until it is ready, and ends it."""

    def __init__(self, settings: Settings, command: Command, directory: Path) -> None:
        self._settings = settings
        self._command = command
        self._log = directory / f"{command.name}.log"

    def start(self, variables: dict[str, str]) -> Start:
        is_ready = self._probe()
        started_s = time.perf_counter()
        with _run(self._settings, self._command, self._log, variables) as process:
            while not is_ready():
                if process.poll() is not None or time.perf_counter() - started_s > LIMIT_S:
                    raise RuntimeError(f"{self._command.name} does not start: {self._log.read_text()[-2000:]}")
                time.sleep(POLL_S)
            return Start(time.perf_counter() - started_s, _family_cpu_s(process.pid))

    def read_imports(self) -> Counter[str]:
        """Of one more start, which writes its imports into the log."""
        self.start({"PYTHONPROFILEIMPORTTIME": "1"})
        return parse_imports(self._log.read_text(errors="replace"))

    def _probe(self) -> Callable[[], bool]:
        name = self._command.name
        if name in ("api", "flower"):
            port = self._settings.api.port if name == "api" else self._settings.flower.port
            return lambda: _answers(f"http://127.0.0.1:{port}/{'livez' if name == 'api' else ''}")
        line = READY_LINE["worker" if name.startswith("worker") else name]
        return lambda: line in self._log.read_text(errors="replace")


@contextmanager
def _run(
    settings: Settings, command: Command, log: Path, variables: dict[str, str]
) -> Iterator[subprocess.Popen[bytes]]:
    environment = {**stack_environment(settings, flower_password="unused"), **variables}  # noqa: S106  # ends with the run
    with log.open("wb") as output:
        process = subprocess.Popen(
            ["/bin/sh", "-c", f"exec {command.line}"], cwd=PROJECT_DIR, env=environment, stdout=output, stderr=output
        )
    try:
        yield process
    finally:
        process.terminate()
        try:
            process.wait(LIMIT_S)
        finally:
            process.kill()


@contextmanager
def _open_redis(settings: Settings, commands: tuple[Command, ...], directory: Path) -> Iterator[None]:
    command = next(command for command in commands if command.name == "redis")
    with _run(settings, command, directory / "redis.log", {}), build_redis(settings) as client:
        deadline_s = time.perf_counter() + LIMIT_S
        while not _pings(client.ping):
            if time.perf_counter() > deadline_s:
                raise RuntimeError("Redis does not start")
            time.sleep(POLL_S)
        yield


def _pings(ping: Callable[[], object]) -> bool:
    try:
        ping()
    except RedisError:
        return False
    return True


def _start_stack(directory: Path) -> dict[str, float]:
    started_s = time.perf_counter()
    with open_stack(directory / "whole"):
        ready_s = time.perf_counter() - started_s
        return {"ready_s": round(ready_s, 2), "cpu_s": round(sum(processes.cpu_s().values()), 2)}


def _family_cpu_s(pid: int) -> float:
    total_s = 0.0
    leader = psutil.Process(pid)
    for process in (leader, *leader.children(recursive=True)):
        times = process.cpu_times()
        total_s += times.user + times.system
    return total_s


def _answers(url: str) -> bool:
    try:
        httpx.get(url, trust_env=False)
    except httpx.TransportError:
        return False
    return True


def _show(name: str, row: dict[str, Any]) -> None:
    every, *heavy = row["imports_s"].items()
    click.echo(
        f"startup   {name}: ready after {row['ready_s']} s, {row['cpu_s']} s of processor; imports {every[1]} s, most: "
        + ", ".join(f"{package} {seconds}" for package, seconds in heavy)
    )
