from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import httpx
import pytest
from flask import Flask
from prometheus_client.parser import text_string_to_metric_families

from api import create_app
from api.runtime import Runtime
from erni.jobs import Job, JobStatus, Savings
from erni.ports import CacheLookup
from erni.services import Services
from erni.stores.database import open_database
from erni.stores.sql_jobs import SqlJobStore


def figure(text: str, name: str, **labels: str) -> float | None:
    """The sample's value, ``None`` when it is not there."""
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            if sample.name == name and labels.items() <= sample.labels.items():
                return float(sample.value)
    return None


def scrape(url: str) -> str:
    answer = httpx.get(f"{url}/metrics", trust_env=False)
    assert answer.status_code == 200
    assert answer.headers["Content-Type"].startswith("text/plain")
    return answer.text


def requests(text: str) -> float:
    labels = {"route": "/v1/jobs", "method": "GET", "status": "200"}
    return figure(text, "erni_http_request_seconds_count", **labels) or 0.0


def test_jobs_are_counted_by_status_with_zeros_for_the_rest(url: str, job: Job, services: Services) -> None:
    text = scrape(url)
    for status in JobStatus:
        expected = services.jobs.count_by_status().get(status, 0)
        assert figure(text, "erni_jobs", status=status.value) == expected


def test_accepted_job_waits_in_its_queue(url: str, job: Job) -> None:
    text = scrape(url)
    waiting = figure(text, "erni_queue_waiting", queue="media")
    assert waiting is not None
    assert waiting >= 1
    assert figure(text, "erni_queue_held", queue="media") == 0
    age_s = figure(text, "erni_queue_oldest_age_seconds", queue="media")
    assert age_s is not None
    assert 0 < age_s < 600


def test_requests_to_all_processes_add_up(url: str, token: str) -> None:
    before = requests(scrape(url))
    for _ in range(40):  # each on a connection of its own, so that both processes serve some
        headers = {"Authorization": f"Bearer {token}", "Connection": "close"}
        assert httpx.get(f"{url}/v1/jobs", headers=headers, trust_env=False).status_code == 200
    assert requests(scrape(url)) - before == pytest.approx(40, abs=1)


def test_callers_cannot_invent_labels(url: str) -> None:
    httpx.request("BREW", f"{url}/made-up-path", trust_env=False)
    text = scrape(url)
    assert "made-up-path" not in text
    assert "BREW" not in text
    labels = {"route": "unmatched", "method": "other", "status": "404"}
    assert figure(text, "erni_http_request_seconds_count", **labels)


def test_stages_and_jobs_of_workers_are_shown(url: str, services: Services) -> None:
    services.meter.observe_stage("prepare", 0.3)
    services.meter.observe_job("succeeded", 100.0, 3.0)
    text = scrape(url)
    assert figure(text, "erni_stage_seconds_bucket", stage="prepare", le="0.5") == 1
    assert figure(text, "erni_audio_seconds_total", status="succeeded") == 100
    assert figure(text, "erni_processing_seconds_total", status="succeeded") == 3
    assert figure(text, "erni_real_time_factor_sum", status="succeeded") == pytest.approx(0.03)


def test_looks_into_the_cache_are_shown_with_what_they_spared(url: str, services: Services) -> None:
    services.meter.observe_cache(CacheLookup("diarize", size_bytes=1500, savings=Savings(engine_s=20.0, usd=0.25)))
    services.meter.observe_cache(CacheLookup("transcribe"))
    text = scrape(url)
    assert figure(text, "erni_cache_lookups_total", stage="diarize", outcome="hit") == 1
    assert figure(text, "erni_cache_lookups_total", stage="diarize", outcome="miss") == 0
    assert figure(text, "erni_cache_lookups_total", stage="transcribe", outcome="hit") == 0
    assert figure(text, "erni_cache_lookups_total", stage="transcribe", outcome="miss") == 1
    assert figure(text, "erni_cache_hit_bytes_total", stage="diarize") == 1500
    assert figure(text, "erni_cache_saved_seconds_total", stage="diarize") == 20
    assert figure(text, "erni_cache_saved_usd_total", stage="diarize") == 0.25


def test_store_that_is_away_is_told_and_the_other_still_shown(
    app_without_redis: Flask, runtime: Runtime, tmp_path: Path
) -> None:
    text = app_without_redis.test_client().get("/metrics").text
    assert figure(text, "erni_store_up", store="redis") == 0
    assert figure(text, "erni_store_up", store="records") == 1
    assert figure(text, "erni_jobs", status="queued") is not None

    lost = SqlJobStore(open_database(f"sqlite:///{tmp_path}/absent/records.db"))
    app = create_app(replace(runtime, services=replace(runtime.services, jobs=lost)))
    text = app.test_client().get("/metrics").text
    assert figure(text, "erni_store_up", store="records") == 0
    assert figure(text, "erni_queue_waiting", queue="media") is not None


def test_open_metrics_are_given_to_who_asks_for_them(url: str) -> None:
    answer = httpx.get(
        f"{url}/metrics", headers={"Accept": "application/openmetrics-text; version=1.0.0"}, trust_env=False
    )
    assert answer.headers["Content-Type"].startswith("application/openmetrics-text")
    assert answer.text.endswith("# EOF\n")
