"""One supervised process: how it starts, dies, comes back and ends. Knows nothing of what the process is for.

Each process leads a session of its own, so that a Ctrl-C at the terminal reaches only the supervisor and a
whole family (a parent and its pool) can be ended by one id.
"""

from __future__ import annotations

import ctypes
import os
import re
import signal
import subprocess
import sys
import time
from collections import deque
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import structlog

from erni.errors import ConfigError

FIRST_DELAY_S = 0.5
LONGEST_DELAY_S = 10.0
STEADY_AFTER_S = 60.0
"""A process that lived this long was healthy: its next restart waits the first delay again."""

MAX_LOG_BYTES = 10 * 1024**2
KILL_WAIT_S = 5.0
_PR_SET_PDEATHSIG = 1  # linux/prctl.h
_LIBC = ctypes.CDLL(None, use_errno=True) if sys.platform == "linux" else None
_PROCFILE_LINE = re.compile(r"(?P<name>[A-Za-z0-9_-]+):\s*(?P<line>\S.*)")
_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Command:
    """A line of a Procfile. ``line`` is one program with its arguments, in the words of ``/bin/sh``."""

    name: str
    line: str


def parse_procfile(text: str) -> tuple[Command, ...]:
    """Commands in the file's order; blank lines and ``#`` comments are skipped.

    Raises:
        ConfigError: a line is not ``name: command``, or a name appears twice.
    """
    commands: dict[str, Command] = {}
    for number, line in enumerate(map(str.strip, text.splitlines()), start=1):
        if not line or line.startswith("#"):
            continue
        match = _PROCFILE_LINE.fullmatch(line)
        if match is None:
            raise ConfigError(f"Procfile, line {number}: expected `name: command`.")
        if match["name"] in commands:
            raise ConfigError(f"Procfile, line {number}: `{match['name']}` is there twice.")
        commands[match["name"]] = Command(match["name"], match["line"])
    return tuple(commands.values())


def restart_delay_s(previous_s: float | None, lived_s: float) -> float:
    """How long a dead process waits for its restart: twice the delay before, up to a limit."""
    if previous_s is None or lived_s >= STEADY_AFTER_S:
        return FIRST_DELAY_S
    return min(LONGEST_DELAY_S, previous_s * 2)


def signal_family(leader_pid: int, number: signal.Signals) -> None:
    """Signal a process and all its descendants in the same group. A family that is gone is not an error."""
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(leader_pid, number)


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What all processes of a stack share."""

    directory: Path
    log_dir: Path
    environment: Mapping[str, str]


class SupervisedProcess:
    """Starts a command, starts it again when it dies, and ends it with its descendants."""

    def __init__(self, command: Command, surroundings: Surroundings) -> None:
        self.name = command.name
        self.log_path = surroundings.log_dir / f"{command.name}.log"
        self._command = command
        self._surroundings = surroundings
        self._popen: subprocess.Popen[bytes] | None = None
        self._started_at_s = 0.0
        self._restart_at_s = 0.0
        self._delay_s: float | None = None
        self._deaths_at_s: deque[float] = deque(maxlen=20)
        self._shown_bytes = 0

    @property
    def pid(self) -> int | None:
        return self._popen.pid if self._popen is not None else None

    @property
    def is_running(self) -> bool:
        return self._popen is not None and self._popen.poll() is None

    def start(self) -> None:
        """Start the command through the shell, which replaces itself by the program (``exec``)."""
        supervisor_pid = os.getpid()
        with self.log_path.open("ab") as log:
            self._popen = subprocess.Popen(
                ["/bin/sh", "-c", f"exec {self._command.line}"],
                cwd=self._surroundings.directory,
                env=dict(self._surroundings.environment),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                preexec_fn=lambda: _follow(supervisor_pid),  # noqa: PLW1509 - the supervisor has one thread
            )
        self._started_at_s = time.monotonic()

    def tend(self) -> bool:
        """Notice a death, and restart when its delay is over. Returns whether it was started again."""
        now_s = time.monotonic()
        if self._popen is not None:
            self._note_death(self._popen, now_s)
            return False
        if now_s < self._restart_at_s:
            return False
        self.start()
        _log.warning("process_restarted", process=self.name, pid=self.pid)
        return True

    def _note_death(self, popen: subprocess.Popen[bytes], now_s: float) -> None:
        exit_code = popen.poll()
        if exit_code is None:
            return
        signal_family(popen.pid, signal.SIGKILL)
        self._popen = None
        self._deaths_at_s.append(now_s)
        self._delay_s = restart_delay_s(self._delay_s, now_s - self._started_at_s)
        self._restart_at_s = now_s + self._delay_s
        _log.warning(
            "process_died",
            process=self.name,
            exit_code=exit_code,
            restart_in_s=self._delay_s,
            log=str(self.log_path),
        )

    def deaths_within(self, window_s: float) -> int:
        """How often it died in the last ``window_s`` seconds."""
        since_s = time.monotonic() - window_s
        return sum(died_at_s >= since_s for died_at_s in self._deaths_at_s)

    def terminate(self) -> None:
        """Ask the process to end; it winds up its own children."""
        if self._popen is not None:
            with suppress(ProcessLookupError):
                self._popen.terminate()

    def kill(self) -> None:
        """End the process and every descendant at once."""
        if self._popen is None:
            return
        signal_family(self._popen.pid, signal.SIGKILL)
        with suppress(subprocess.TimeoutExpired):
            self._popen.wait(KILL_WAIT_S)
        self._popen = None

    def rotate_log(self) -> None:
        """Set a grown log aside as ``.log.1`` and forget the one before it. Later output counts as new."""
        if self.log_path.exists() and self.log_path.stat().st_size > MAX_LOG_BYTES:
            self.log_path.replace(self.log_path.with_suffix(".log.1"))
        self._shown_bytes = self.log_path.stat().st_size if self.log_path.exists() else 0

    def read_output(self) -> list[str]:
        """Whole lines written since the last call."""
        if not self.log_path.exists():
            return []
        with self.log_path.open("rb") as log:
            log.seek(self._shown_bytes)
            content, newline, _ = log.read().rpartition(b"\n")
        self._shown_bytes += len(content) + len(newline)
        return content.decode(errors="replace").splitlines()

    def last_lines(self, count: int) -> list[str]:
        """The end of the log, to be shown with an error."""
        if not self.log_path.exists():
            return []
        with self.log_path.open("rb") as log:
            log.seek(max(0, self.log_path.stat().st_size - 16_384))
            return log.read().decode(errors="replace").splitlines()[-count:]


def _follow(supervisor_pid: int) -> None:
    """In the new process: ask to be ended when the supervisor is killed outright (prctl(2)).

    Where there is no such call the next start ends what is left (``data_dir_claim``).
    """
    if _LIBC is None:
        return
    _LIBC.prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
    if os.getppid() != supervisor_pid:
        os._exit(1)  # The supervisor died before the call above could take effect.
