from __future__ import annotations

import json
import time
from pathlib import Path

import httpx
from flask import Flask


def events(log: Path, name: str) -> list[dict[str, object]]:
    lines = [json.loads(line) for line in log.read_text().splitlines() if line.startswith("{")]
    return [line for line in lines if line["event"] == name]


def served_as(log: Path, route: str) -> list[dict[str, object]]:
    return [line for line in events(log, "http_request_served") if line["route"] == route]


def test_request_is_logged_by_its_route_and_without_its_query(client: httpx.Client, server_log: Path) -> None:
    before = len(served_as(server_log, "/v1/jobs/<job_id>"))
    client.get("/v1/jobs/private-job-name?secret=query")
    deadline = time.monotonic() + 10
    while len(served_as(server_log, "/v1/jobs/<job_id>")) == before:  # the line follows the answer
        assert time.monotonic() < deadline
    served = served_as(server_log, "/v1/jobs/<job_id>")[-1]
    assert (served["method"], served["status"]) == ("GET", 404)
    assert isinstance(served["elapsed_s"], float)
    assert "private-job-name" not in server_log.read_text()
    assert "secret=query" not in server_log.read_text()


def test_key_is_never_logged(client: httpx.Client, token: str, server_log: Path) -> None:
    client.get("/v1/jobs")
    assert token not in server_log.read_text()


def test_accepted_job_is_logged_once_with_its_id(client: httpx.Client, server_log: Path) -> None:
    job_id = client.post("/v1/jobs", content=b"x").json()["id"]
    assert [line["job_id"] for line in events(server_log, "job_accepted")].count(job_id) == 1


def test_every_answer_forbids_sniffing_and_no_origin_is_let_in(url: str, client: httpx.Client) -> None:
    for path in ("/livez", "/v1/jobs", "/nowhere", "/metrics"):
        headers = client.get(path, headers={"Origin": "https://elsewhere.example"}).headers
        assert headers["X-Content-Type-Options"] == "nosniff"
        assert "default-src 'none'" in headers["Content-Security-Policy"]
        assert not [name for name in headers if name.lower().startswith("access-control-")]


def test_request_is_served_while_redis_is_away(app_without_redis: Flask) -> None:
    assert app_without_redis.test_client().get("/livez").status_code == 200
