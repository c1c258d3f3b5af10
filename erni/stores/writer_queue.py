"""Writers of a SQLite file taking turns, over threads and processes. Knows no SQL."""

from __future__ import annotations

import fcntl
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


class WriterQueue:
    """SQLite lets one writer in at a time, and those that wait poll with pauses of up to 100 ms: ten at once starve
    each other for a second. Here they wait in the kernel instead, and each is woken when it can go on.

    The lock lies in a file of its own beside the database, since SQLite's locks on its file are its own.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        # Threads first: within a process they need no system call to queue up.
        self._threads = threading.Lock()

    @contextmanager
    def turn(self) -> Iterator[None]:
        """Wait for a turn; it ends with the context, or with the process."""
        with self._threads:
            # Opened anew each time (10 µs), because a lock on a file that crossed a fork is the parent's too.
            descriptor = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX)
                yield
            finally:
                os.close(descriptor)
