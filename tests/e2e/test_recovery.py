"""A worker killed in mid-job, two stacks side by side, and a stack's clean end."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import pytest

pytestmark = [pytest.mark.stack, pytest.mark.models]

SAMPLE = Path(__file__).parents[2] / "samples" / "standup.flac"


def wait_for_status(client: Any, job_id: str, status: str) -> None:
    deadline = time.monotonic() + 60
    while client.job(job_id)["status"] != status:
        assert time.monotonic() < deadline, client.job(job_id)
        time.sleep(0.02)


def test_a_job_survives_the_kill_of_its_worker(new_stack: Callable[..., Any], tmp_path: Path) -> None:
    """Both workers at their pieces are killed with -9; nobody does anything; all words are there."""
    stack = new_stack("killed", ERNI_CHUNKS__TARGET_S="20", ERNI_CHUNKS__MAX_S="30")
    with stack.client() as client:
        undisturbed = client.wait(client.submit(SAMPLE, {"language": "en", "cache": "bypass"})["id"])
        expected = client.transcript(undisturbed["id"], "txt")
        job_id = client.submit(SAMPLE, {"language": "en", "cache": "bypass"})["id"]
        wait_for_status(client, job_id, "processing")
        killed_at = time.monotonic()
        for queue in ("transcribe", "diarize"):
            stack.worker(queue).kill()
        job = client.wait(job_id)
        lost_s = time.monotonic() - killed_at
        assert job["status"] == "succeeded"
        assert client.transcript(job_id, "txt") == expected
        assert lost_s < 60 + undisturbed["timings"]["total_s"]


def test_two_stacks_run_side_by_side_and_end_without_a_trace(stack: Any, new_stack: Callable[..., Any]) -> None:
    second = new_stack("second")
    with stack.client() as first_client, second.client() as second_client:
        job = second_client.submit(SAMPLE, {"language": "en"})
        assert job["id"] not in {other["id"] for other in first_client.jobs(limit=50)}
        assert second_client.wait(job["id"])["status"] == "succeeded"
    family = psutil.Process(second.supervisor.pid).children(recursive=True)
    assert len(family) > 8
    second.supervisor.terminate()
    assert second.supervisor.wait(60) == 0
    assert [process for process in family if process.is_running()] == []
