from __future__ import annotations

import uuid
from datetime import datetime, timedelta

import httpx
import pytest

from erni.jobs import StepKind
from erni.keys import ApiKey, hash_token
from erni.model import Bill
from erni.money import Charge, SpendingCaps, month_start
from erni.services import Services


@pytest.fixture
def key(services: Services, token: str) -> ApiKey:
    key = services.keys.find_key(hash_token(token))
    assert key is not None
    return key


def charge(services: Services, key: ApiKey, at: datetime | None = None, usd: float = 0.1) -> str:
    """A minute of a vendor's work for a job of this key; returns the charge's id."""
    moment = at or services.clock()
    charge_id = uuid.uuid4().hex
    made = Charge(charge_id, moment, key.tenant, key.key_id, "job", StepKind.TRANSCRIBE, 0, "openai/w", "w", 60.0, usd)
    services.ledger.reserve(made, SpendingCaps(month_start(moment)))
    return charge_id


def test_unused_installation_has_cost_nothing(client: httpx.Client, key: ApiKey) -> None:
    usage = client.get("/v1/usage").json()
    assert (usage["usage"], usage["total_usd"]) == ([], 0.0)
    assert usage["key"] == {
        "id": key.key_id,
        "job_usd": None,
        "key_month_usd": None,
        "key_spent_usd": 0.0,
        "key_left_usd": None,
    }


def test_usage_is_summed_by_key_engine_and_model(client: httpx.Client, services: Services, key: ApiKey) -> None:
    services.ledger.settle(charge(services, key), Bill(0.07))
    charge(services, key)
    usage = client.get("/v1/usage").json()
    assert usage["usage"] == [
        {
            "key": key.key_id,
            "engine": "openai/w",
            "model": "w",
            "calls": 2,
            "audio_s": 120.0,
            "estimated_usd": 0.2,
            "usd": 0.17,
        }
    ]
    assert usage["total_usd"] == usage["key"]["key_spent_usd"] == 0.17


def test_usage_shows_what_the_key_has_left(client: httpx.Client, services: Services, key: ApiKey) -> None:
    services.keys.set_monthly_cap(key.key_id, 0.25)
    charge(services, key)
    shown = client.get("/v1/usage").json()["key"]
    assert (shown["key_month_usd"], shown["key_spent_usd"], shown["key_left_usd"]) == (0.25, 0.1, 0.15)


def test_other_tenants_usage_is_not_shown(
    client: httpx.Client, stranger: httpx.Client, services: Services, key: ApiKey
) -> None:
    charge(services, key)
    assert len(client.get("/v1/usage").json()["usage"]) == 1
    assert stranger.get("/v1/usage").json()["total_usd"] == 0.0


def test_usage_of_this_month_leaves_out_the_last(client: httpx.Client, services: Services, key: ApiKey) -> None:
    start = month_start(services.clock())
    charge(services, key, start - timedelta(seconds=1), usd=0.5)
    charge(services, key)
    assert client.get("/v1/usage").json()["total_usd"] == 0.1


def test_usage_of_another_stretch_of_time_can_be_asked_for(
    client: httpx.Client, services: Services, key: ApiKey
) -> None:
    noon = datetime.fromisoformat("2024-02-29T12:00:00+00:00")
    charge(services, key, noon)
    charge(services, key, noon + timedelta(hours=12))
    shown = client.get("/v1/usage", params={"since": "2024-02-29", "until": "2024-03-01"}).json()
    assert (shown["since"], shown["until"]) == ("2024-02-29T00:00:00.000Z", "2024-03-01T00:00:00.000Z")
    assert shown["total_usd"] == 0.1
    afternoon = {"since": "2024-02-29T14:00:01+02:00", "until": "2024-03-02T00:00:00Z"}
    assert client.get("/v1/usage", params=afternoon).json()["total_usd"] == 0.1


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ("since=yesterday", "since"),
        ("until=2026-13-01", "until"),
        ("since=2026-03-02&until=2026-03-01", "since"),
        ("since=2999-01-01", "since"),
        ("since=0001-01-01T00:00:00%2B14:00", "since"),
        ("since=2026-03-01&since=2026-03-02", "since"),
        ("from=2026-03-01", "from"),
    ],
)
def test_period_that_is_none_is_refused(client: httpx.Client, query: str, field: str) -> None:
    answer = client.get(f"/v1/usage?{query}")
    assert (answer.status_code, answer.json()["field"]) == (422, field)


def test_usage_needs_a_key(url: str) -> None:
    assert httpx.get(f"{url}/v1/usage", trust_env=False).status_code == 401
