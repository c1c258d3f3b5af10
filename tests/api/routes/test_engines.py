from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest
from flask import Flask
from flask.testing import FlaskClient
from prometheus_client.parser import text_string_to_metric_families
from redis import Redis

from api import create_app
from api.runtime import Runtime
from erni.engines.openai_connection import OpenAIConnection
from erni.engines.openai_transcriber import openai_transcribers
from erni.engines.uploads import Uploads
from erni.errors import EngineUnavailable
from erni.health import ProbeResult
from erni.services import Services
from erni.steps.probing import remote_terms
from erni.stores.redis_gates import RedisEngineGates
from erni.stores.redis_probes import RedisProbes

NOW = datetime(2026, 12, 1, 9, 30, tzinfo=UTC)


@pytest.fixture
def remote_services(runtime: Runtime, redis_client: Redis) -> Services:
    """Services with OpenAI's engines, on the first of December; nothing is asked of them."""
    connection = OpenAIConnection("OpenAI", "http://127.0.0.1:9/v1", "sk-loopback")
    services = runtime.services
    return replace(
        services,
        transcribers={**services.transcribers, **openai_transcribers(connection, runtime.catalogue, Uploads())},
        gates=RedisEngineGates(redis_client, failures=2, rest_s=60.0, quota_rest_s=60.0),
        probes=RedisProbes(redis_client, lives_s=60.0),
        clock=lambda: NOW,
    )


@pytest.fixture
def remote_app(runtime: Runtime, remote_services: Services) -> Flask:
    return create_app(replace(runtime, services=remote_services))


@pytest.fixture
def caller(remote_app: Flask, token: str) -> Iterator[FlaskClient]:
    with remote_app.test_client() as client:
        client.environ_base["HTTP_AUTHORIZATION"] = f"Bearer {token}"
        yield client


def listed(caller: FlaskClient) -> dict[str, dict[str, Any]]:
    answer = caller.get("/v1/engines")
    assert answer.status_code == 200, answer.text
    return {each["name"]: each for each in answer.get_json()["engines"]}


def break_engine(services: Services, engine: str) -> None:
    for _ in range(2):
        with (
            pytest.raises(EngineUnavailable),
            services.gates.enter(engine, remote_terms(services)[engine], "ticket"),
        ):
            raise EngineUnavailable("Out.")


def figures(text: str) -> dict[tuple[str, str], float]:
    return {
        (sample.name, next(iter(sample.labels.values()), "")): float(sample.value)
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def test_every_row_of_the_catalogue_and_every_engine_set_up_is_listed_once(
    caller: FlaskClient, runtime: Runtime, remote_services: Services
) -> None:
    engines = caller.get("/v1/engines").get_json()["engines"]
    names = [(each["kind"], each["name"]) for each in engines]
    assert len(set(names)) == len(names)
    assert {(row.kind, row.engine) for row in runtime.catalogue.rows} <= set(names)
    assert {("transcriber", name) for name in remote_services.transcribers} <= set(names)
    assert {("diarizer", name) for name in remote_services.diarizers} <= set(names)


def test_remote_engine_shows_what_it_can_costs_and_when_it_ends(caller: FlaskClient, runtime: Runtime) -> None:
    row = runtime.catalogue.find("openai", "whisper-1")
    engine = listed(caller)["openai/whisper-1"]
    assert (engine["kind"], engine["configured"], engine["default"], engine["local"]) == (
        "transcriber",
        True,
        False,
        False,
    )
    assert engine["capabilities"]["times"] == "word"
    assert engine["capabilities"]["upload_format"] == row.upload_format
    assert engine["limits"] == {"requests_per_minute": row.requests_per_minute, "concurrency": None}
    assert engine["price"]["usd_per_minute"] == 0.006
    assert engine["price"]["source"] == row.source
    assert engine["price"]["seen_on"] == row.seen_on.isoformat()
    assert engine["retirement"] == {
        "on": "2027-02-26",
        "days_left": 87,
        "retired": False,
        "soon": True,
        "announced_by_vendor": None,
    }


def test_default_is_the_engine_that_has_taken_over_from_one_that_ended(
    runtime: Runtime, remote_services: Services, token: str
) -> None:
    offers = replace(
        runtime.offers,
        transcribers={name: engine.capabilities for name, engine in remote_services.transcribers.items()},
        default_engine="openai/whisper-1",
        default_fallback=("whisper",),
    )
    after_its_end = replace(remote_services, clock=lambda: datetime(2027, 3, 1, tzinfo=UTC))
    caller = create_app(replace(runtime, services=after_its_end, offers=offers)).test_client()
    caller.environ_base["HTTP_AUTHORIZATION"] = f"Bearer {token}"
    engines = listed(caller)
    assert (engines["openai/whisper-1"]["default"], engines["whisper"]["default"]) == (False, True)


def test_local_engine_is_the_default_and_has_no_health(caller: FlaskClient) -> None:
    whisper = listed(caller)["whisper"]
    assert (whisper["local"], whisper["configured"], whisper["default"]) == (True, True, True)
    assert whisper["price"] == {"usd_per_minute": 0.0, "minimum_billed_s": 0.0, "source": None, "seen_on": None}
    assert whisper["health"] is None


def test_engine_without_a_key_is_listed_as_not_set_up(caller: FlaskClient) -> None:
    engine = next(each for each in listed(caller).values() if each["name"].startswith("pyannote/"))
    assert (engine["configured"], engine["local"], engine["health"]) == (False, False, None)
    assert engine["price"]["usd_per_minute"] > 0


def test_health_shows_breaker_last_probe_and_availability(caller: FlaskClient, remote_services: Services) -> None:
    probe = ProbeResult("openai", NOW, 0.25, None, {"whisper-1": NOW.date()})
    remote_services.probes.put(probe)
    remote_services.engine_hours.add(probe)
    break_engine(remote_services, "openai/whisper-1")
    engines = listed(caller)
    health = engines["openai/whisper-1"]["health"]
    assert health["breaker"]["state"] == "open"
    assert health["breaker"]["failures"] == 2
    assert 50 < health["breaker"]["rest_s"] <= 60
    assert health["account"] == {"closed_s": 0.0, "in_flight": 0, "waiting": 0}
    assert health["probe"] == {"at": "2026-12-01T09:30:00.000Z", "ok": True, "latency_s": 0.25, "failure": None}
    assert set(health["availability"]) == {"24h", "30d"}
    assert engines["openai/gpt-transcribe"]["health"]["breaker"]["state"] == "closed"
    assert engines["openai/whisper-1"]["retirement"]["announced_by_vendor"] == "2026-12-01"


def test_list_without_redis_lacks_the_health_only(runtime: Runtime, remote_services: Services, token: str) -> None:
    with Redis(port=1) as absent:
        services = replace(remote_services, probes=RedisProbes(absent, lives_s=1.0))
        app = create_app(replace(runtime, services=services))
        answer = app.test_client().get("/v1/engines", headers={"Authorization": f"Bearer {token}"})
    assert answer.status_code == 200
    assert {each["health"] for each in answer.get_json()["engines"]} == {None}


def test_availability_has_the_sums_and_the_hours_of_each_vendor(caller: FlaskClient, remote_services: Services) -> None:
    provider = f"vendor-{datetime.now(UTC).timestamp()}"
    for minutes, failure in ((0, None), (10, "engine_unavailable"), (60, None), (61, None)):
        at = NOW - timedelta(days=2) + timedelta(minutes=minutes)
        remote_services.engine_hours.add(ProbeResult(provider, at, 0.5, failure))
    answer = caller.get("/v1/engines/availability").get_json()
    assert (answer["since"], answer["until"]) == ("2026-11-01T09:30:00.000Z", "2026-12-01T09:30:00.000Z")
    (own,) = [each for each in answer["providers"] if each["provider"] == provider]
    assert (own["probes"], own["failures"], own["availability"]) == (4, 1, 0.75)
    assert own["latency_mean_s"] == own["latency_max_s"] == 0.5
    assert [(each["hour"], each["availability"]) for each in own["hours"]] == [
        ("2026-11-29T09:00:00.000Z", 0.5),
        ("2026-11-29T10:00:00.000Z", 1.0),
    ]
    narrow = caller.get("/v1/engines/availability?since=2026-11-29T10:00Z&until=2026-11-30").get_json()
    (own,) = [each for each in narrow["providers"] if each["provider"] == provider]
    assert own["probes"] == 2


@pytest.mark.parametrize(
    ("query", "field"),
    [("since=yesterday", "since"), ("until=2026-13-01", "until"), ("since=2026-12-02", "since"), ("from=x", "from")],
)
def test_wrong_stretch_of_time_is_refused_with_its_name(caller: FlaskClient, query: str, field: str) -> None:
    answer = caller.get(f"/v1/engines/availability?{query}")
    assert (answer.status_code, answer.get_json()["field"]) == (422, field)


@pytest.mark.parametrize("path", ["/v1/engines", "/v1/engines/availability"])
def test_engines_are_shown_to_who_has_a_key(url: str, client: httpx.Client, path: str) -> None:
    assert httpx.get(f"{url}{path}", trust_env=False).status_code == 401
    assert client.get(path).status_code == 200


def test_readiness_warns_of_engines_that_end_soon_and_stays_as_it_is(remote_app: Flask) -> None:
    answer = remote_app.test_client().get("/readyz")
    assert answer.status_code == 200
    warnings = answer.get_json()["warnings"]
    assert "openai/whisper-1 ends on 2027-02-26, in 87 days; choose another engine before." in warnings
    assert not any("gpt-transcribe " in warning for warning in warnings)


def test_metrics_show_vendors_gates_and_days_left(remote_app: Flask, remote_services: Services) -> None:
    remote_services.probes.put(ProbeResult("openai", NOW, 0.25, "engine_unavailable"))
    break_engine(remote_services, "openai/whisper-1")
    shown = figures(remote_app.test_client().get("/metrics").text)
    assert shown["erni_engine_up", "openai"] == 0
    assert shown["erni_engine_probe_seconds", "openai"] == 0.25
    assert shown["erni_engine_breaker_open", "openai/whisper-1"] == 1
    assert shown["erni_engine_breaker_open", "openai/gpt-transcribe"] == 0
    assert shown["erni_engine_in_flight", "openai/whisper-1"] == 0
    assert shown["erni_engine_waiting", "openai/whisper-1"] == 0
    assert shown["erni_engine_retires_in_days", "openai/whisper-1"] == 87
    assert ("erni_engine_retires_in_days", "openai/gpt-transcribe") not in shown
