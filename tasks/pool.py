"""What a worker's main process and its pool processes tell each other, in memory they share.

Without locks: a process killed while it holds a shared lock would stop all the others. Each value has one writer.
"""

from __future__ import annotations

import ctypes
import multiprocessing
import os
import time
from typing import Any, Final

from billiard.process import current_process

LARGEST_POOL: Final = 1024
"""Processes of one worker there is room for; far more than a host can run."""

_ready_pids = multiprocessing.RawArray(ctypes.c_int, LARGEST_POOL)
_hand_back_at_s = multiprocessing.RawValue(ctypes.c_double, 0.0)


def announce_ready() -> None:
    """In a pool process: say that it has loaded what its queues need. Its place in the pool is its successor's too."""
    _ready_pids[current_process().index] = os.getpid()


def is_pool_ready(pool: Any) -> bool:
    """In the main process: whether every process now in the pool has said that it is ready."""
    return bool(pool.active and set(pool.info["processes"]).issubset(_ready_pids))


def request_drain(patience_s: float) -> None:
    """In the main process: have all work handed back after ``patience_s``; asked for a second time, at once."""
    now_s = time.monotonic()
    _hand_back_at_s.value = now_s if is_stopping() else now_s + patience_s


def is_stopping() -> bool:
    """Whether this worker was told to stop."""
    return _hand_back_at_s.value > 0.0


def is_draining() -> bool:
    """Whether work is to be handed back now."""
    return is_stopping() and time.monotonic() >= _hand_back_at_s.value
