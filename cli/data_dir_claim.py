"""One stack per data directory: a lock, and a record of the processes so that none outlives its supervisor.

The lock is the kernel's (``flock``): it vanishes with its holder, however that ends. The record names the
leader of each process family by id and start time, because ids are used again.
"""

from __future__ import annotations

import fcntl
import json
import os
import signal
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

import psutil
import structlog

from erni.errors import ConfigError

STALE_GRACE_S = 10.0
_CLOCK_TOLERANCE_S = 2.0
_log = structlog.get_logger(__name__)


@contextmanager
def claim_data_dir(data_dir: Path) -> Iterator[None]:
    """Hold ``data_dir`` for one stack, and end what an earlier stack there left behind.

    Raises:
        ConfigError: another stack holds it, or the directory cannot be made.
    """
    try:
        data_dir.mkdir(parents=True, exist_ok=True)
        lock = (data_dir / "stack.lock").open("a+")
    except OSError as error:
        raise ConfigError(f"ERNI_DATA_DIR: cannot use {data_dir}: {error.strerror}.") from None
    with lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            lock.seek(0)
            raise ConfigError(
                f"A stack (process {lock.read().strip()}) already runs on {data_dir}. "
                "Stop it, or set ERNI_DATA_DIR to another directory."
            ) from None
        lock.truncate(0)
        lock.write(f"{os.getpid()}\n")
        lock.flush()
        end_stale_processes(data_dir)
        yield


def record_processes(data_dir: Path, leader_pids: Sequence[int]) -> None:
    """Remember who leads the running families."""
    leaders = []
    for pid in leader_pids:
        with suppress(psutil.NoSuchProcess):
            leaders.append({"pid": pid, "started_at": psutil.Process(pid).create_time()})
    path = _record_path(data_dir)
    path.with_suffix(".tmp").write_text(json.dumps(leaders))
    path.with_suffix(".tmp").replace(path)


def end_stale_processes(data_dir: Path) -> None:
    """End every recorded family that still lives: politely first, so that Redis can write to disk."""
    stale = _find_stale(data_dir)
    for process in stale:
        with suppress(psutil.NoSuchProcess):
            process.send_signal(signal.SIGTERM)
    deadline_s = time.monotonic() + STALE_GRACE_S
    while _find_stale(data_dir) and time.monotonic() < deadline_s:
        time.sleep(0.1)
    for process in _find_stale(data_dir):
        with suppress(psutil.NoSuchProcess):
            process.kill()
    if stale:
        _log.warning("stale_processes_ended", count=len(stale))
    _record_path(data_dir).unlink(missing_ok=True)


def _find_stale(data_dir: Path) -> list[psutil.Process]:
    """Members of the recorded sessions; a record from before the last boot matches nothing."""
    try:
        recorded = json.loads(_record_path(data_dir).read_text())
    except (FileNotFoundError, json.JSONDecodeError):
        return []
    booted_at = psutil.boot_time()
    started = {leader["pid"]: leader["started_at"] for leader in recorded if leader["started_at"] >= booted_at}
    return [process for process in psutil.process_iter() if _belongs(process, started)]


def _belongs(process: psutil.Process, started: dict[int, float]) -> bool:
    try:
        session = os.getsid(process.pid)
        if session not in started or process.status() == psutil.STATUS_ZOMBIE:
            return False
        age_after_leader_s = process.create_time() - started[session]
    except (psutil.Error, ProcessLookupError, PermissionError):
        return False
    if process.pid == session:
        return abs(age_after_leader_s) < _CLOCK_TOLERANCE_S
    return age_after_leader_s > -_CLOCK_TOLERANCE_S and not _is_id_used_anew(session, started[session])


def _is_id_used_anew(leader_pid: int, started_at: float) -> bool:
    """True when the leader's id now belongs to a younger process, whose session is none of ours."""
    try:
        return abs(psutil.Process(leader_pid).create_time() - started_at) >= _CLOCK_TOLERANCE_S
    except psutil.NoSuchProcess:
        return False


def _record_path(data_dir: Path) -> Path:
    return data_dir / "stack.json"
