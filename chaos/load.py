"""The callers: they submit jobs through the REST API, keep a number of them in flight, and watch how each ends.

Only a 202 counts as accepted; until then a caller sends its submission again under the same idempotency key.
"""

from __future__ import annotations

import itertools
import queue
import random
import threading
import time
import uuid
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal

import httpx

from erni.jobs import ACTIVE_STATUSES, FINAL_STATUSES

Pool = Literal["own", "shared"]
"""Recordings of jobs that bypass the cache, and recordings that equal jobs share through it."""

SUBMITTERS: Final = 4
SUBMIT_AGAIN_S: Final = 0.5
POLL_EVERY_S: Final = 0.5
PAGE: Final = 200
TIMEOUT: Final = httpx.Timeout(15.0, connect=3.0)
OWN_SHARE: Final = 0.6
TWIN_SHARE: Final = 0.5


@dataclass(slots=True)
class SentJob:
    """An accepted job as its caller knows it. ``over_s`` is when it was first seen over."""

    job_id: str
    recording: Path
    accepted_s: float
    status: str = "queued"
    progress: float = 0.0
    error: Mapping[str, Any] | None = None
    over_s: float | None = None
    is_missing: bool = False


class Load:
    """Callers at work between ``start`` and ``stop``. ``refused`` are answers a caller can do nothing about."""

    def __init__(self, api_url: str, key: str) -> None:
        self._http = httpx.Client(
            base_url=api_url, headers={"Authorization": f"Bearer {key}"}, timeout=TIMEOUT, trust_env=False
        )
        self._lock = threading.Lock()
        self._jobs: dict[str, SentJob] = {}
        self._wanted: queue.Queue[tuple[Path, Pool] | None] = queue.Queue()
        self._is_stopping = threading.Event()
        self._threads: list[threading.Thread] = []
        self._under_way = 0
        self.refused: list[str] = []

    def start(self, recordings: Mapping[Pool, Sequence[Path]], in_flight: int, draw: random.Random) -> None:
        """Keep at least so many jobs in flight from now on."""
        work = [
            threading.Thread(target=self._order, args=(recordings, in_flight, draw), name="orders"),
            threading.Thread(target=self._watch, name="watcher"),
            *(threading.Thread(target=self._submit_ordered, name=f"caller {number}") for number in range(SUBMITTERS)),
        ]
        self._threads = work
        for thread in work:
            thread.start()

    def stop(self) -> None:
        """No further submissions; those not yet accepted are given up."""
        self._is_stopping.set()
        for _ in range(SUBMITTERS):
            self._wanted.put(None)
        for thread in self._threads:
            thread.join()

    def close(self) -> None:
        self._http.close()

    def jobs(self) -> list[SentJob]:
        with self._lock:
            return list(self._jobs.values())

    def states(self) -> dict[str, tuple[str, float]]:
        """Status and progress of the jobs that are worked on, as last seen."""
        return {job.job_id: (job.status, job.progress) for job in self.jobs() if job.status in ACTIVE_STATUSES}

    def submit(self, recording: Path, pool: Pool) -> SentJob | None:
        """Send until it is accepted; ``None`` when refused for good or stopped."""
        options = {"language": "en", "cache": "bypass" if pool == "own" else "use"}
        headers = {"Idempotency-Key": uuid.uuid4().hex}
        while not self._is_stopping.is_set():
            with suppress(httpx.TransportError), recording.open("rb") as file:
                answer = self._http.post("/v1/jobs", files={"file": file}, data=options, headers=headers)
                if answer.status_code == httpx.codes.ACCEPTED:
                    return self._accept(answer.json()["id"], recording)
                if answer.is_client_error and answer.status_code != httpx.codes.TOO_MANY_REQUESTS:
                    self.refused.append(f"{answer.status_code} {answer.text[:300]}")
                    return None
            time.sleep(SUBMIT_AGAIN_S)
        return None

    def poll(self) -> bool:
        """Look at every job that is not over; False when the API does not answer."""
        try:
            listed = {row["id"]: row for row in self._get("/v1/jobs", limit=PAGE)["jobs"]}
            for job in self.jobs():
                if job.over_s is None and not job.is_missing:
                    self._note(job, listed.get(job.job_id) or self._find(job.job_id))
        except (httpx.TransportError, httpx.HTTPStatusError):
            return False
        return True

    def transcript(self, job_id: str) -> Any:
        """What was said, by whom and when."""
        return self._get(f"/v1/jobs/{job_id}/transcript", format="json")["segments"]

    def _order(self, recordings: Mapping[Pool, Sequence[Path]], in_flight: int, draw: random.Random) -> None:
        turns: dict[Pool, itertools.cycle[Path]] = {name: itertools.cycle(paths) for name, paths in recordings.items()}
        while not self._is_stopping.is_set():
            while self._count_in_flight() < in_flight:
                pool: Pool = "own" if draw.random() < OWN_SHARE else "shared"
                copies = 2 if pool == "shared" and draw.random() < TWIN_SHARE else 1
                recording = next(turns[pool])
                for _ in range(copies):
                    with self._lock:
                        self._under_way += 1
                    self._wanted.put((recording, pool))
            self._is_stopping.wait(SUBMIT_AGAIN_S / 5)

    def _submit_ordered(self) -> None:
        while (wanted := self._wanted.get()) is not None:
            try:
                self.submit(*wanted)
            finally:
                with self._lock:
                    self._under_way -= 1

    def _count_in_flight(self) -> int:
        return self._under_way + sum(job.over_s is None and not job.is_missing for job in self.jobs())

    def _watch(self) -> None:
        while not self._is_stopping.wait(POLL_EVERY_S):
            self.poll()

    def _accept(self, job_id: str, recording: Path) -> SentJob:
        job = SentJob(job_id, recording, time.monotonic())
        with self._lock:
            return self._jobs.setdefault(job_id, job)

    def _note(self, job: SentJob, row: Mapping[str, Any] | None) -> None:
        if row is None:
            job.is_missing = True
            return
        job.status, job.progress, job.error = row["status"], row["progress"], row["error"]
        if job.status in FINAL_STATUSES:
            job.over_s = time.monotonic()

    def _find(self, job_id: str) -> Mapping[str, Any] | None:
        try:
            return dict(self._get(f"/v1/jobs/{job_id}"))
        except httpx.HTTPStatusError as error:
            if error.response.status_code == httpx.codes.NOT_FOUND:
                return None
            raise

    def _get(self, path: str, **parameters: str | int) -> Any:
        return self._http.get(path, params=parameters).raise_for_status().json()
