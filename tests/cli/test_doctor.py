"""The doctor over real records, blobs and Redis, as a process of its own."""

from __future__ import annotations

import subprocess
import sys
from datetime import timedelta
from pathlib import Path

import pytest

from cli.settings_text import render_environment
from config.bootstrap import build_services, initialise
from config.queue import QUEUES
from config.settings import Settings, child_environment
from erni.jobs import Job, JobOptions, JobStatus
from erni.stores.redis_beacons import RedisBeacons

STORES = ["records: reachable", "blobs: reachable", "redis: reachable"]


@pytest.fixture
def settings(tmp_path: Path, redis_url: str) -> Settings:
    """An installation that works at one job of a tenant at a time, without workers."""
    chosen = {"data_dir": tmp_path / "data", "redis": {"url": redis_url}, "queue": {"tenant_jobs": 1}}
    settings = Settings.model_validate(chosen)
    initialise(settings)
    return settings


@pytest.fixture
def services(settings):
    return build_services(settings)


@pytest.fixture
def serve_queues(redis_client):
    """Lets a living worker take work from every queue but those named."""

    def serve(*but: str) -> None:
        beacon = {"queues": [name for name in QUEUES if name not in but], "ready": True, "processes": 1}
        RedisBeacons(redis_client).announce("worker@host", beacon, lives_s=60.0)

    return serve


@pytest.fixture
def add_job(services):
    """Records a job last heard of some time ago; returns its id."""

    def add(age: timedelta, *, tenant: str = "acme", status: JobStatus = JobStatus.QUEUED) -> str:
        job_id = f"{len(list(services.jobs.unfinished())) + 1:032x}"
        created_at = services.clock() - age
        services.jobs.add(Job(job_id, tenant, status, JobOptions(), created_at, "d", 1, idempotency_key=job_id))
        return job_id

    return add


@pytest.fixture
def run(settings):
    def call(*arguments: str, **overrides: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "cli.main", "doctor", *arguments]
        environment = child_environment(render_environment(settings) | overrides)
        return subprocess.run(command, env=environment, capture_output=True, text=True, check=False)

    return call


def rows(output: str) -> list[list[str]]:
    """The cells of the table's rows, lines of one row put together."""
    found: list[list[str]] = []
    for line in output.splitlines():
        cells = [cell.strip() for cell in line.strip("│").split("│")]
        if not line.startswith("│"):
            continue
        if cells[0]:
            found.append(cells)
        else:
            found[-1] = [f"{before} {more}".strip() for before, more in zip(found[-1], cells, strict=True)]
    return found


def test_installation_without_trouble_needs_no_help(run, serve_queues, add_job):
    serve_queues()
    job_id = add_job(timedelta(seconds=1))
    result = run()
    assert (result.returncode, result.stderr) == (0, "")
    assert result.stdout.splitlines() == [
        *STORES,
        "queues: all are served by living workers",
        "jobs: 1 unfinished, 0 in need of help",
    ]
    (row,) = rows(run("--all").stdout)
    assert (row[0], row[5], row[6]) == (job_id, "none", "")


def test_each_kind_of_trouble_is_told_with_its_remedy_and_reason(run, serve_queues, add_job):
    serve_queues()
    overdue = add_job(timedelta(hours=25), tenant="late")
    lost = add_job(timedelta(minutes=5), status=JobStatus.PREPARING)
    behind = add_job(timedelta(minutes=4))
    add_job(timedelta(seconds=1), tenant="well")
    result = run()
    assert result.returncode == 1
    assert "jobs: 4 unfinished, 2 in need of help" in result.stdout
    seen = {row[0]: row[1:] for row in rows(result.stdout)}
    assert set(seen) == {overdue, lost, behind}
    assert seen[overdue][:6] == ["late", "queued", "25.0 h", "25.0 h", "fail", ""]
    assert "The job was not over 86400 s after it was accepted" in seen[overdue][6]
    assert seen[lost][:6] == ["acme", "preparing", "5 min", "5 min", "resend", "prepare"]
    assert seen[lost][6].startswith("Nothing in the queue or with a worker is for it")
    assert seen[behind][:6] == ["acme", "queued", "4 min", "4 min", "wait", ""]
    assert seen[behind][6] == "Its tenant has 1 jobs at work already."


def test_doctor_changes_nothing(run, serve_queues, add_job, services):
    serve_queues()
    job_id = add_job(timedelta(hours=25))
    before = services.jobs.get(job_id)
    run()
    assert services.jobs.get(job_id) == before
    assert services.queue_watch.jobs_in_queue() == set()


def test_queue_without_a_worker_is_told_even_where_no_job_waits(run, serve_queues):
    serve_queues("transcribe", "media")
    result = run()
    assert result.returncode == 1
    assert "queues: no living worker serves media, transcribe\n" in result.stdout


def test_store_that_is_away_is_told_and_no_job_is_judged_without_it(run, add_job):
    add_job(timedelta(hours=25))
    result = run(ERNI_REDIS__URL="redis://127.0.0.1:1/0")
    assert result.returncode == 1
    assert result.stdout.splitlines() == [
        *STORES[:2],
        "redis: not reachable: The broker does not answer.",
        "jobs: cannot be examined until all stores answer",
    ]
    assert "Traceback" not in result.stderr


def test_installation_that_was_never_set_up_is_told_without_a_traceback(run, tmp_path):
    result = run(ERNI_DATA_DIR=str(tmp_path / "nowhere"))
    assert result.returncode == 1
    assert "records: not reachable: " in result.stdout
    assert "Traceback" not in result.stderr
