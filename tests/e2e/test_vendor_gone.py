"""A vendor that goes away in mid-job: the rest comes from the next engine, without a gap and without paying twice."""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from vendors.listening import ScriptedListening
from vendors.openai import API_KEY, OpenAIVendor
from vendors.server import serve

pytestmark = [pytest.mark.stack, pytest.mark.models]

SAMPLE = Path(__file__).parents[2] / "samples" / "standup.flac"
CHUNK_S = 6
GONE_AFTER = 4
ENGINE = "openai/whisper-1"


def test_a_vendor_that_goes_away_leaves_the_rest_to_the_next_engine(new_stack: Callable[..., Any]) -> None:
    vendor = OpenAIVendor(ScriptedListening(latency=0.1))
    with serve(vendor.app) as served:
        stack = new_stack(
            "gone",
            ERNI_OPENAI__API_KEY=API_KEY,
            ERNI_OPENAI__BASE_URL=f"{served.url}/v1",
            ERNI_CHUNKS__TARGET_S=str(CHUNK_S),
            ERNI_CHUNKS__MAX_S=str(2 * CHUNK_S),
        )
        client = stack.client()
        options = {"language": "en", "engine": ENGINE, "fallback": "whisper", "cache": "bypass"}
        job_id = client.submit(SAMPLE, options)["id"]
        deadline = time.monotonic() + 60
        while len(vendor.faults.billed) < GONE_AFTER:
            assert time.monotonic() < deadline, client.job(job_id)
            time.sleep(0.01)
    with client:
        job = client.wait(job_id)
        transcript = json.loads(client.transcript(job_id, "json"))
    assert job["status"] == "succeeded", job
    assert transcript["coverage"]["gaps"] == []
    made_by = Counter(piece["engine"] for piece in transcript["pieces"])
    assert made_by.total() == job["chunks"]["total"] >= 3 * GONE_AFTER
    assert 1 <= made_by[ENGINE] <= len(vendor.faults.billed)
    assert all(piece["given_up"] == [ENGINE] for piece in transcript["pieces"] if piece["engine"] == "whisper")
    paid = Counter(billed.digest for billed in vendor.faults.billed)
    assert max(paid.values()) == 1
