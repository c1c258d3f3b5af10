"""Webhooks of vendors at the API, with real Redis: what is sent to the workers is read from their queue."""

from __future__ import annotations

import base64
import json
import time
import uuid
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from api import create_app
from api.runtime import Runtime
from config.queue import DIARIZE, WAKE_PIECE, CeleryJobQueue, make_celery
from config.settings import RedisSettings, Settings
from erni.jobs import Job, JobOptions, JobStatus, Piece, StepKind
from erni.services import Services
from erni.signatures import verify_pyannote, verify_replicate
from erni.stores.database import open_database
from erni.stores.sql_jobs import SqlJobStore
from vendors.signing import sign_pyannote, sign_replicate

PYANNOTE_SECRET = "whs_of_the_test"
REPLICATE_SECRET = "whsec_" + base64.b64encode(b"a secret of the test").decode()
TOLERANCE_S = 300.0


@pytest.fixture
def hooked(runtime: Runtime) -> Flask:
    """The application, expecting webhooks of both vendors."""

    def pyannote(headers: Any, body: bytes, now: datetime) -> Any:
        return verify_pyannote(PYANNOTE_SECRET, headers, body, now, TOLERANCE_S)

    def replicate(headers: Any, body: bytes, now: datetime) -> Any:
        return verify_replicate(REPLICATE_SECRET, headers, body, now, TOLERANCE_S)

    return create_app(replace(runtime, verifiers={"pyannote": pyannote, "replicate": replicate}))


@pytest.fixture
def caller(hooked: Flask) -> FlaskClient:
    return hooked.test_client()


def waiting_job(services: Services, engine: str, remote_id: str | None, kind: StepKind = StepKind.DIARIZE) -> str:
    """A job whose piece waits for a vendor's job; with ``None`` its id is not recorded yet."""
    now = datetime.now(UTC)
    job = Job(uuid.uuid4().hex, "tenant", JobStatus.PROCESSING, JobOptions(), now, "digest", 1)
    services.jobs.add(job)
    step = services.jobs.begin_step(job.job_id, Piece(kind))
    services.jobs.save_step(replace(step, engine=engine, remote_id=remote_id, submitted_at=now))
    return job.job_id


def wakes(runtime: Runtime, job_id: str) -> list[list[object]]:
    """The arguments of the wake messages for a job."""
    found = []
    for raw in runtime.redis.lrange(DIARIZE, 0, -1):  # type: ignore[union-attr]  # a synchronous client answers at once
        message = json.loads(raw)
        arguments = json.loads(base64.b64decode(message["body"]))[0]
        if message["headers"]["task"] == WAKE_PIECE and arguments[0] == job_id:
            found.append(arguments)
    return found


def call_pyannote(caller: FlaskClient, remote_id: str, *, at_s: int | None = None, query: str = "") -> TestResponse:
    body = json.dumps({"jobId": remote_id, "status": "succeeded"}).encode()
    headers = sign_pyannote(PYANNOTE_SECRET, at_s if at_s is not None else int(time.time()), body, "hex")
    return caller.post(f"/v1/hooks/pyannote{query}", data=body, headers=headers)


def test_a_signed_webhook_wakes_exactly_the_piece_that_waits(
    caller: FlaskClient, runtime: Runtime, services: Services
) -> None:
    remote_id, other_id = uuid.uuid4().hex, uuid.uuid4().hex
    job_id = waiting_job(services, "pyannote/precision-2", remote_id)
    other = waiting_job(services, "pyannote/precision-2", other_id)
    assert call_pyannote(caller, remote_id).status_code == 204
    assert wakes(runtime, job_id) == [[job_id, "diarize", 0]]
    assert wakes(runtime, other) == []


def test_replicates_webhook_wakes_a_one_shot(caller: FlaskClient, runtime: Runtime, services: Services) -> None:
    remote_id = uuid.uuid4().hex
    job_id = waiting_job(services, "replicate/whisper-diarization", remote_id, StepKind.ONE_SHOT)
    body = json.dumps({"id": remote_id, "status": "succeeded", "output": {"segments": []}}).encode()
    headers = sign_replicate(REPLICATE_SECRET, "msg_1", int(time.time()), body)
    assert caller.post("/v1/hooks/replicate", data=body, headers=headers).status_code == 204
    assert wakes(runtime, job_id) == [[job_id, "one_shot", 0]]


def test_a_repetition_wakes_nobody_again(caller: FlaskClient, runtime: Runtime, services: Services) -> None:
    remote_id = uuid.uuid4().hex
    job_id = waiting_job(services, "pyannote/precision-2", remote_id)
    for _ in range(3):
        assert call_pyannote(caller, remote_id).status_code == 204
    assert len(wakes(runtime, job_id)) == 1


def test_one_vendors_webhook_says_nothing_of_anothers_job(
    caller: FlaskClient, runtime: Runtime, services: Services
) -> None:
    remote_id = uuid.uuid4().hex
    job_id = waiting_job(services, "replicate/whisper-diarization", remote_id, StepKind.ONE_SHOT)
    assert call_pyannote(caller, remote_id).status_code == 204
    assert wakes(runtime, job_id) == []


def test_a_webhook_of_a_job_whose_id_is_not_known_tells_it_to_the_piece_its_address_names(
    caller: FlaskClient, runtime: Runtime, services: Services
) -> None:
    job_id, remote_id = waiting_job(services, "pyannote/precision-2", None), uuid.uuid4().hex
    query = f"?job={job_id}&piece=diarize.0"
    assert call_pyannote(caller, remote_id, query=query).status_code == 204
    assert wakes(runtime, job_id) == [[job_id, "diarize", 0]]
    step = services.jobs.find_step(job_id, Piece(StepKind.DIARIZE))
    assert step is not None
    assert step.remote_id == remote_id
    assert call_pyannote(caller, uuid.uuid4().hex, query=query).status_code == 204
    assert services.jobs.find_step(job_id, Piece(StepKind.DIARIZE)) == step, "a piece waits for one job"
    assert len(wakes(runtime, job_id)) == 1


@pytest.mark.parametrize(
    "query",
    ["", "?job=../../etc&piece=diarize.0", f"?job={'0' * 32}&piece=diarize.x", "?job=1&piece=", "?piece=join.0"],
)
def test_a_webhook_nobody_waits_for_is_taken_and_ignored(caller: FlaskClient, query: str) -> None:
    assert call_pyannote(caller, uuid.uuid4().hex, query=query).status_code == 204


def test_an_unsigned_webhook_is_refused_and_wakes_nobody(
    caller: FlaskClient, runtime: Runtime, services: Services
) -> None:
    remote_id = uuid.uuid4().hex
    job_id = waiting_job(services, "pyannote/precision-2", remote_id)
    body = json.dumps({"jobId": remote_id, "status": "succeeded"}).encode()
    forged = sign_pyannote("another secret", int(time.time()), body, "hex")
    for headers in ({}, forged):
        answer = caller.post("/v1/hooks/pyannote", data=body, headers=headers)
        assert (answer.status_code, answer.json and answer.json["code"]) == (401, "signature_invalid")
    assert wakes(runtime, job_id) == []


@pytest.mark.parametrize("age_s", [TOLERANCE_S + 5, -TOLERANCE_S - 5], ids=["old", "ahead"])
def test_a_webhook_from_another_time_is_refused(caller: FlaskClient, age_s: float) -> None:
    assert call_pyannote(caller, uuid.uuid4().hex, at_s=int(time.time() - age_s)).status_code == 401


def test_the_signature_is_over_the_bytes_that_came(caller: FlaskClient) -> None:
    body = b'{ "jobId": "3c8a89a5", "status":"succeeded" }'
    headers = sign_pyannote(PYANNOTE_SECRET, int(time.time()), body, "base64")
    assert caller.post("/v1/hooks/pyannote", data=body, headers=headers).status_code == 204
    same_meaning = json.dumps(json.loads(body)).encode()
    assert caller.post("/v1/hooks/pyannote", data=same_meaning, headers=headers).status_code == 401


def test_webhooks_of_a_vendor_not_set_up_are_not_found(caller: FlaskClient) -> None:
    assert caller.post("/v1/hooks/slack", data=b"{}").status_code == 404


def test_a_body_without_end_is_refused(caller: FlaskClient) -> None:
    assert caller.post("/v1/hooks/pyannote", data=b"x" * (4 * 1024**2 + 1)).status_code == 413


def test_a_webhook_that_could_not_be_passed_on_is_wanted_again(
    runtime: Runtime, services: Services, settings: Settings
) -> None:
    broker_away = settings.model_copy(update={"redis": RedisSettings.model_validate({"url": "redis://127.0.0.1:1"})})
    without_broker = replace(services, queue=CeleryJobQueue(make_celery(broker_away)))
    remote_id = uuid.uuid4().hex
    job_id = waiting_job(services, "pyannote/precision-2", remote_id)
    verifiers = {"pyannote": partial(_verify, PYANNOTE_SECRET)}
    away = create_app(replace(runtime, verifiers=verifiers, services=without_broker))
    assert call_pyannote(away.test_client(), remote_id).status_code == 503
    back = create_app(replace(runtime, verifiers=verifiers))
    assert call_pyannote(back.test_client(), remote_id).status_code == 204
    assert len(wakes(runtime, job_id)) == 1


def test_a_webhook_that_came_while_the_records_were_away_is_wanted_again(
    runtime: Runtime, services: Services, tmp_path: Path
) -> None:
    without_records = replace(services, jobs=SqlJobStore(open_database(f"sqlite:///{tmp_path}/empty.db")))
    remote_id = uuid.uuid4().hex
    job_id = waiting_job(services, "pyannote/precision-2", remote_id)
    verifiers = {"pyannote": partial(_verify, PYANNOTE_SECRET)}
    away = create_app(replace(runtime, verifiers=verifiers, services=without_records))
    assert call_pyannote(away.test_client(), remote_id).status_code == 503
    back = create_app(replace(runtime, verifiers=verifiers))
    assert call_pyannote(back.test_client(), remote_id).status_code == 204
    assert len(wakes(runtime, job_id)) == 1


def _verify(secret: str, headers: Any, body: bytes, now: datetime) -> Any:
    return verify_pyannote(secret, headers, body, now, TOLERANCE_S)
