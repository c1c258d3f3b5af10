"""Jobs that a vendor works off on its own time: begun, looked up, over, and their answers deleted after a while.

Knows no vendor: each gives the words it calls the states by.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any, Final

SLOTS: Final = 8
WORK_FAILED: Final = "failed"


@dataclass(frozen=True, slots=True)
class VendorJob:
    """A job as the vendor knows it. ``asked`` is the request's own body."""

    job_id: str
    status: str
    asked: Mapping[str, Any]
    created_at: datetime
    started_at: datetime | None = None
    ended_at: datetime | None = None
    output: Any = None
    error: str | None = None
    is_deleted: bool = False
    """Whether the answer, which there was, has been deleted."""


class JobFailed(Exception):
    """The job cannot be done; the text is what the vendor says of it."""


@dataclass(slots=True, kw_only=True)
class JobBook:
    """All jobs of a vendor, ``slots`` at work at a time, each for ``pace_s`` at least. Answers are deleted
    ``retention_s`` after their end. ``on_end`` is told of each that is over.

    ``waiting`` and ``working`` are the vendor's words for before and during the work.
    """

    waiting: str
    working: str
    retention_s: float
    on_end: Callable[[VendorJob], None]
    pace_s: float = 0.0
    slots: int = SLOTS
    _jobs: dict[str, VendorJob] = field(default_factory=dict, init=False)
    _ends: deque[tuple[str, str | None]] = field(default_factory=deque, init=False)
    _lock: threading.Lock = field(default_factory=threading.Lock, init=False)
    _closing: threading.Event = field(default_factory=threading.Event, init=False)
    _pool: ThreadPoolExecutor = field(init=False)

    def __post_init__(self) -> None:
        self._pool = ThreadPoolExecutor(self.slots, thread_name_prefix="vendor-job")

    def order_end(self, status: str, error: str | None = None) -> None:
        """Have the next job end like this, without any work."""
        with self._lock:
            self._ends.append((status, error))

    def start(self, job_id: str, asked: Mapping[str, Any], work: Callable[[], Any]) -> VendorJob:
        """Note the job, and have ``work`` make its answer on a thread."""
        job = VendorJob(job_id, self.waiting, asked, datetime.now(UTC))
        with self._lock:
            self._jobs[job_id] = job
            end = self._ends.popleft() if self._ends else None
        self._pool.submit(self._run, job_id, work, end)
        return job

    def find(self, job_id: str) -> VendorJob | None:
        with self._lock:
            job = self._jobs.get(job_id)
        return None if job is None else self._without_old_answer(job)

    def all(self) -> list[VendorJob]:
        """Newest first."""
        with self._lock:
            jobs = list(self._jobs.values())
        return [self._without_old_answer(job) for job in reversed(jobs)]

    def end(self, job_id: str, status: str, *, output: object = None, error: str | None = None) -> None:
        """Move the job into a final state unless it is in one."""
        with self._lock:
            if self._jobs[job_id].ended_at is not None:
                return
            ended = replace(self._jobs[job_id], status=status, output=output, error=error, ended_at=datetime.now(UTC))
            self._jobs[job_id] = ended
        self.on_end(ended)

    def close(self) -> None:
        """Let what is at work end, and begin nothing more."""
        self._closing.set()
        self._pool.shutdown(wait=True, cancel_futures=True)

    def _run(self, job_id: str, work: Callable[[], Any], end: tuple[str, str | None] | None) -> None:
        with self._lock:
            if self._jobs[job_id].ended_at is not None:
                return
            self._jobs[job_id] = replace(self._jobs[job_id], status=self.working, started_at=datetime.now(UTC))
        if self._closing.wait(self.pace_s):
            return
        if end is not None:
            status, error = end
            self.end(job_id, status, error=error)
            return
        try:
            output = work()
        except Exception as error:  # noqa: BLE001  whatever goes wrong in a vendor's job, the job says that it failed
            self.end(job_id, WORK_FAILED, error=str(error))
        else:
            self.end(job_id, "succeeded", output=output)

    def _without_old_answer(self, job: VendorJob) -> VendorJob:
        if job.ended_at is None or job.output is None:
            return job
        is_old = (datetime.now(UTC) - job.ended_at).total_seconds() > self.retention_s
        return replace(job, output=None, is_deleted=True) if is_old else job


def format_time(at: datetime | None) -> str | None:
    """As vendors write it: ``2026-11-22T12:00:00.123Z``."""
    return None if at is None else at.isoformat(timespec="milliseconds").replace("+00:00", "Z")
