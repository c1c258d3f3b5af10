"""What becomes of a task that fails for good, in a real worker: a clear state, never an exception or a lost job."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from uuid import uuid4

import pytest
from celery import Celery

from erni.jobs import Job, JobOptions, JobStatus
from erni.stores.database import migrate, open_database
from erni.stores.sql_jobs import SqlJobStore

pytestmark = pytest.mark.stack

StartWorker = Callable[..., subprocess.Popen[bytes]]


@pytest.fixture
def jobs(tmp_path: Path) -> SqlJobStore:
    database = open_database(f"sqlite:///{tmp_path}/records.db")
    migrate(database)
    return SqlJobStore(database)


def add_job(jobs: SqlJobStore) -> str:
    job = Job(uuid4().hex, "acme", JobStatus.PROCESSING, JobOptions(), datetime.now(UTC), "digest", 1)
    return jobs.add(job).job_id


def test_failures_for_good_end_as_gap_or_failed_job(
    redis_url: str, jobs: SqlJobStore, start_worker: StartWorker
) -> None:
    start_worker("faulty@here", app="faulty_app")
    buggy, refused = add_job(jobs), add_job(jobs)
    with Celery("sender", broker=redis_url, backend=redis_url) as app:

        def run(name: str, *arguments: object) -> object:
            """Asks again and again, because a stored result is not announced to anybody."""
            sent = app.send_task(name, args=arguments, queue="default")
            deadline_s = time.monotonic() + 60
            while not sent.ready():
                assert time.monotonic() < deadline_s
                time.sleep(0.1)
            return sent.result

        assert run("test.buggy_piece", buggy, 3) == "gap"
        (step,) = jobs.steps(buggy)
        assert (step.part, step.status) == (3, "failed")
        assert "secret" not in (step.reason or "")
        assert jobs.get(buggy).status is JobStatus.PROCESSING

        run("test.buggy_job", buggy)
        failed = jobs.get(buggy)
        assert failed.status is JobStatus.FAILED
        assert failed.failure is not None
        assert failed.failure.code == "internal"
        assert "secret" not in failed.failure.message

        run("test.refused_job", refused)
        failure = jobs.get(refused).failure
        assert failure is not None
        assert (failure.code, failure.message) == ("engine_rejected", "No such voice.")
