from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import httpx
import pytest
from flask import Flask
from werkzeug.routing import Rule

from api import create_app
from api.runtime import Runtime
from erni.jobs import Job
from erni.keys import hash_token
from erni.services import Services
from erni.stores.database import open_database
from erni.stores.sql_keys import SqlKeyStore


def versioned_routes(app: Flask) -> list[tuple[str, str]]:
    """Method and path of everything below /v1, with a job id of the right form in its place."""

    def path(rule: Rule) -> str:
        return rule.rule.replace("<job_id>", "0" * 32)

    rules = [rule for rule in app.url_map.iter_rules() if rule.rule.startswith("/v")]
    return [(method, path(rule)) for rule in rules for method in rule.methods or ()]


def test_every_versioned_route_refuses_a_caller_without_a_key(app: Flask) -> None:
    routes = versioned_routes(app)
    assert len(routes) > 10
    for method, path in routes:
        if path.startswith("/v1/hooks/"):
            continue  # Signed by the vendors instead; api/routes/hooks.py has its own tests.
        answer = app.test_client().open(path, method=method)
        assert answer.status_code == 401, (method, path)
        assert answer.headers["WWW-Authenticate"].startswith("Bearer")


def test_only_health_and_metrics_lie_outside_the_versioned_routes(app: Flask) -> None:
    outside = {rule.rule for rule in app.url_map.iter_rules() if not rule.rule.startswith("/v1/")}
    assert outside == {"/livez", "/readyz", "/metrics"}


@pytest.mark.parametrize(
    "header",
    [
        "",
        "Bearer",
        "Basic dXNlcjpwYXNz",
        "Bearer unknown-key",
        "Bearer ü",
        "{token}",
        "Token {token}",
    ],
)
def test_header_that_is_not_a_bearer_key_is_refused(url: str, token: str, header: str) -> None:
    headers = {b"Authorization": header.format(token=token).encode()}
    answer = httpx.get(f"{url}/v1/jobs", headers=headers, trust_env=False)
    assert (answer.status_code, answer.json()["code"]) == (401, "not_authenticated")


def test_scheme_is_read_in_any_case(url: str, token: str) -> None:
    answer = httpx.get(f"{url}/v1/jobs", headers={"Authorization": f"bearer {token}"}, trust_env=False)
    assert answer.status_code == 200


def test_revoked_key_is_refused_at_once(client: httpx.Client, services: Services, token: str) -> None:
    assert client.get("/v1/jobs").status_code == 200
    key = services.keys.find_key(hash_token(token))
    assert key is not None
    services.keys.revoke_key(key.key_id, services.clock())
    assert client.get("/v1/jobs").status_code == 401


def test_upload_without_a_key_is_refused_before_it_is_stored(url: str) -> None:
    answer = httpx.post(f"{url}/v1/jobs", content=b"x" * 1_500_000, trust_env=False)
    assert answer.status_code == 401


def test_job_of_another_tenant_is_absent_on_every_route(
    app: Flask, stranger: httpx.Client, finished_job: Job, services: Services
) -> None:
    routes = [(method, path) for method, path in versioned_routes(app) if "0" * 32 in path]
    assert len(routes) >= 4
    for method, path in routes:
        if method == "OPTIONS":
            continue
        answer = stranger.request(method, path.replace("0" * 32, finished_job.job_id))
        assert answer.status_code == 404, (method, path)
    assert services.jobs.get(finished_job.job_id) == finished_job


def test_list_shows_jobs_of_the_own_tenant_only(stranger: httpx.Client, client: httpx.Client, job: Job) -> None:
    assert [listed["id"] for listed in client.get("/v1/jobs").json()["jobs"]] == [job.job_id]
    assert job.job_id not in stranger.get("/v1/jobs?limit=500").text


def test_records_that_cannot_be_reached_are_not_taken_for_a_wrong_key(runtime: Runtime, tmp_path: Path) -> None:
    lost = SqlKeyStore(open_database(f"sqlite:///{tmp_path}/absent/records.db"))
    app = create_app(replace(runtime, services=replace(runtime.services, keys=lost)))
    answer = app.test_client().get("/v1/jobs", headers={"Authorization": "Bearer any"})
    assert (answer.status_code, answer.get_json()["code"]) == (503, "storage_error")
    assert int(answer.headers["Retry-After"]) > 0
