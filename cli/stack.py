"""The supervisor: keeps a Procfile's processes running and ends them in order. Knows commands, not speech.

One thread, no callbacks: whoever holds a stack calls ``tend`` often and ``stop`` at the end.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from pathlib import Path

import structlog

from cli.data_dir_claim import record_processes
from cli.failures import StackFailed
from cli.interrupts import Interrupts
from cli.processes import Command, SupervisedProcess, Surroundings
from cli.readiness import Readiness

BEAT_S = 0.1
READY_LIMIT_S = 120.0
READY_EVERY_S = 0.5
DEATHS_ALLOWED = 4
DEATHS_WINDOW_S = 30.0
GRACE_S = 15.0
"""How long a process may take to end; a worker gets this on top of the time to finish its work."""

_WORKER_WAVE = 1
_LAST_WAVE = 2
_log = structlog.get_logger(__name__)


class Stack:
    """The processes of one data directory."""

    def __init__(
        self,
        commands: Sequence[Command],
        surroundings: Surroundings,
        *,
        data_dir: Path,
        interrupts: Interrupts,
        drain_s: float = 0.0,
    ) -> None:
        """``drain_s``: how long workers told to stop go on with their work before they hand it back."""
        self._processes = [SupervisedProcess(command, surroundings) for command in commands]
        self._data_dir = data_dir
        self._interrupts = interrupts
        self._drain_s = drain_s

    @property
    def processes(self) -> Sequence[SupervisedProcess]:
        return self._processes

    def start(self) -> None:
        for process in self._processes:
            process.log_path.parent.mkdir(parents=True, exist_ok=True)
            process.rotate_log()
            process.start()
        self._record()

    def tend(self) -> None:
        """Restart what died, when its delay is over."""
        restarted = [process.name for process in self._processes if process.tend()]
        if restarted:
            self._record()

    def wait_until_ready(
        self,
        probe: Callable[[], Readiness],
        *,
        limit_s: float = READY_LIMIT_S,
        on_probe: Callable[[Readiness], None],
    ) -> None:
        """Tend the processes until ``probe`` finds everything ready.

        Raises:
            StackFailed: a process keeps dying, or time is up; names the process and shows its log's end.
            click.Abort: a stop was asked for.
        """
        deadline_s = time.monotonic() + limit_s
        readiness = Readiness(is_ready=False)
        while not readiness.is_ready:
            self._interrupts.check()
            self._check_crash_loop()
            if time.monotonic() > deadline_s:
                raise StackFailed(self._describe_missing(readiness, limit_s))
            self.pause(READY_EVERY_S)
            readiness = probe()
            on_probe(readiness)

    def pause(self, duration_s: float) -> None:
        """Tend the processes for a while; returns early when a stop is asked for."""
        until_s = time.monotonic() + duration_s
        while time.monotonic() < until_s and not self._interrupts.is_stop_wanted:
            self.tend()
            time.sleep(BEAT_S)

    def stop(self) -> None:
        """End all: first what makes work, then the workers, Redis last; what outstays its grace is killed."""
        for wave in range(_LAST_WAVE + 1):
            processes = [process for process in self._processes if _stop_wave_of(process.name) == wave]
            self._stop_wave(processes, GRACE_S + (self._drain_s if wave == _WORKER_WAVE else 0.0))
        self._record()

    def _stop_wave(self, processes: Sequence[SupervisedProcess], grace_s: float) -> None:
        for process in processes:
            process.terminate()
        deadline_s = time.monotonic() + grace_s
        while any(process.is_running for process in processes):
            if time.monotonic() > deadline_s or self._interrupts.is_hurry_wanted:
                running = [process.name for process in processes if process.is_running]
                _log.warning("processes_killed", processes=running)
                break
            time.sleep(BEAT_S)
        for process in processes:
            process.kill()

    def _check_crash_loop(self) -> None:
        for process in self._processes:
            deaths = process.deaths_within(DEATHS_WINDOW_S)
            if deaths > DEATHS_ALLOWED:
                raise StackFailed(f"`{process.name}` died {deaths} times while starting. {_show_log(process)}")

    def _describe_missing(self, readiness: Readiness, limit_s: float) -> str:
        reasons = "; ".join(f"{name} ({why})" if why else name for name, why in readiness.missing.items())
        suspects = {_process_behind(probe) for probe in readiness.missing}
        logs = [_show_log(process) for process in self._processes if process.name in suspects]
        return "\n".join([f"Not ready after {limit_s:.0f} s. Missing: {reasons}.", *logs])

    def _record(self) -> None:
        record_processes(self._data_dir, [process.pid for process in self._processes if process.pid is not None])


def _stop_wave_of(name: str) -> int:
    if name == "redis":
        return _LAST_WAVE
    return _WORKER_WAVE if name.startswith("worker-") else 0


def _process_behind(probe: str) -> str:
    """Which process a probe of ``/readyz`` speaks about; what is none's own is the API's to tell."""
    if probe.startswith("queue:"):
        return f"worker-{probe.removeprefix('queue:')}"
    return "redis" if probe == "redis" else "api"


def _show_log(process: SupervisedProcess) -> str:
    lines = "\n".join(f"  {line}" for line in process.last_lines(15))
    return f"The end of {process.log_path}:\n{lines}"
