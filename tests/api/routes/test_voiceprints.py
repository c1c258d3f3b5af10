"""Known voices over REST: what is accepted, what is refused, and that tenants see their own only."""

from __future__ import annotations

import json
from pathlib import Path

import httpx
import pytest
from flask import Flask

from erni import blob_paths
from erni.jobs import Job
from erni.services import Services

SAMPLE = Path(__file__).parents[3] / "samples" / "standup.flac"
FIELDS = {"name": "Anna", "consent": "signed on paper, 2026-03-01"}
REFERENCE = (Path(__file__).parents[3] / "docs" / "api.md").read_text()
NOBODY = "0" * 32


def enrol(client: httpx.Client, **fields: str) -> httpx.Response:
    files = {"file": ("anna.flac", SAMPLE.read_bytes()[:100_000], "audio/flac")}
    return client.post("/v1/voiceprints", data=FIELDS | fields, files=files)


def refusal(answer: httpx.Response) -> tuple[int, str, str | None]:
    problem = answer.json()
    return answer.status_code, problem["code"], problem.get("field")


@pytest.fixture
def voiceprint_id(client: httpx.Client) -> str:
    return str(enrol(client).json()["id"])


def test_voice_is_accepted_as_pending(client: httpx.Client, services: Services) -> None:
    answer = enrol(client, expires_in_days="30")
    assert answer.status_code == 202
    body = answer.json()
    assert answer.headers["Location"] == body["links"]["self"] == f"/v1/voiceprints/{body['id']}"
    assert {name: body[name] for name in ("name", "consent", "status", "reason", "engines")} == {
        **FIELDS,
        "status": "pending",
        "reason": None,
        "engines": [],
    }
    assert client.get(body["links"]["self"]).json() == body
    assert services.blobs.exists(blob_paths.voiceprint_audio(body["id"]))


def test_raw_body_is_accepted_with_fields_in_the_query(client: httpx.Client) -> None:
    headers = {"Content-Type": "audio/flac"}
    answer = client.post("/v1/voiceprints", params=FIELDS, content=SAMPLE.read_bytes()[:5000], headers=headers)
    assert answer.status_code == 202


@pytest.mark.parametrize("sent", ["json", "data"])
def test_speaker_of_a_finished_job_is_accepted(client: httpx.Client, finished_job: Job, sent: str) -> None:
    fields = {**FIELDS, "job_id": finished_job.job_id, "speaker": "SPEAKER_1"}
    answer = client.post("/v1/voiceprints", **{sent: fields})  # type: ignore[arg-type]  # json or data
    assert (answer.status_code, answer.json().get("status")) == (202, "pending")


def test_speaker_who_is_not_there_is_refused(client: httpx.Client, finished_job: Job) -> None:
    fields = {**FIELDS, "job_id": finished_job.job_id, "speaker": "speaker_9"}
    assert refusal(client.post("/v1/voiceprints", json=fields)) == (422, "invalid_option", "speaker")


def test_job_of_another_tenant_cannot_be_enrolled_from(stranger: httpx.Client, finished_job: Job) -> None:
    fields = {**FIELDS, "job_id": finished_job.job_id, "speaker": "SPEAKER_1"}
    assert refusal(stranger.post("/v1/voiceprints", json=fields))[:2] == (404, "job_not_found")


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"consent": " "}, "consent"),
        ({"consent": "x" * 2001}, "consent"),
        ({"name": ""}, "name"),
        ({"name": "x" * 101}, "name"),
        ({"name": "two\nlines"}, "name"),
        ({"expires_in_days": "0"}, "expires_in_days"),
        ({"expires_in_days": "366"}, "expires_in_days"),
        ({"expires_in_days": "nan"}, "expires_in_days"),
        ({"expires_in_days": "soon"}, "expires_in_days"),
        ({"colour": "red"}, "colour"),
        ({"job_id": NOBODY}, "job_id"),
    ],
)
def test_wrong_field_is_refused_by_name(client: httpx.Client, fields: dict[str, str], field: str) -> None:
    assert refusal(enrol(client, **fields)) == (422, "invalid_option", field)
    assert client.get("/v1/voiceprints").json() == {"voiceprints": []}


def test_voice_without_a_consent_note_is_refused(client: httpx.Client) -> None:
    files = {"file": ("anna.flac", b"sound", "audio/flac")}
    assert refusal(client.post("/v1/voiceprints", data={"name": "Anna"}, files=files))[2] == "consent"


def test_neither_recording_nor_speaker_is_refused(client: httpx.Client) -> None:
    assert refusal(client.post("/v1/voiceprints", json=FIELDS))[2] == "job_id"
    assert refusal(client.post("/v1/voiceprints", json=[]))[:2] == (422, "invalid_option")


@pytest.mark.parametrize("field", ["name", "consent", "speaker"])
@pytest.mark.parametrize("letter", [r"\ud800", r"\u0000"], ids=["half a surrogate pair", "NUL"])
def test_text_that_no_record_can_hold_is_refused(
    client: httpx.Client, finished_job: Job, field: str, letter: str
) -> None:
    """JSON can spell what UTF-8 cannot."""
    fields = {**FIELDS, "job_id": finished_job.job_id, "speaker": "SPEAKER_1", field: "ok LETTER ok"}
    body = json.dumps(fields).replace("LETTER", letter)
    answer = client.post("/v1/voiceprints", content=body, headers={"Content-Type": "application/json"})
    assert refusal(answer) == (422, "invalid_option", field)
    assert client.get("/v1/voiceprints").json() == {"voiceprints": []}


def test_new_name_that_no_record_can_hold_is_refused(client: httpx.Client, voiceprint_id: str) -> None:
    answer = client.patch(f"/v1/voiceprints/{voiceprint_id}", content=r'{"name": "Anna \ud800"}')
    assert refusal(answer) == (422, "invalid_option", "name")


def test_body_that_is_too_large_is_refused(app: Flask, token: str, finished_job: Job) -> None:
    """By the application itself, because a body that was not read ends its connection."""
    for path in ("/v1/voiceprints", f"/v1/jobs/{finished_job.job_id}/names"):
        headers = {"Authorization": f"Bearer {token}"}
        answer = app.test_client().post(path, json={"name": "x" * 70_000}, headers=headers)
        assert (answer.status_code, answer.get_json()["code"]) == (413, "request_entity_too_large")
        assert "| 413 | `request_entity_too_large` |" in REFERENCE


def test_id_that_is_no_text_is_refused(client: httpx.Client, finished_job: Job, voiceprint_id: str) -> None:
    for path, body in (
        (f"/v1/jobs/{finished_job.job_id}/names", r'{"voiceprints": ["\ud800"]}'),
        ("/v1/voiceprints", r'{"name": "Anna", "consent": "yes", "job_id": "\ud800", "speaker": "a"}'),
    ):
        answer = client.post(path, content=body, headers={"Content-Type": "application/json"})
        assert answer.status_code in {404, 422}


def test_list_is_by_name_and_the_tenants_own(client: httpx.Client, stranger: httpx.Client) -> None:
    for name in ("Zoë", "Anna"):
        assert enrol(client, name=name).status_code == 202
    assert [one["name"] for one in client.get("/v1/voiceprints").json()["voiceprints"]] == ["Anna", "Zoë"]
    theirs = {one["id"] for one in stranger.get("/v1/voiceprints").json()["voiceprints"]}
    assert theirs.isdisjoint(one["id"] for one in client.get("/v1/voiceprints").json()["voiceprints"])


def test_voiceprint_of_another_tenant_is_as_absent_as_none(
    client: httpx.Client, stranger: httpx.Client, voiceprint_id: str
) -> None:
    for caller, found in ((stranger, voiceprint_id), (client, NOBODY), (client, "..%2Fjobs")):
        path = f"/v1/voiceprints/{found}"
        answers = (caller.get(path), caller.patch(path, json={"name": "Mine"}), caller.delete(path))
        assert [answer.status_code for answer in answers] == [404, 404, 404]
    assert client.get(f"/v1/voiceprints/{voiceprint_id}").json()["name"] == "Anna"


def test_renamed_voiceprint_shows_its_new_name(client: httpx.Client, voiceprint_id: str) -> None:
    path = f"/v1/voiceprints/{voiceprint_id}"
    assert client.patch(path, json={"name": "Änne"}).json()["name"] == "Änne"
    assert client.get(path).json()["name"] == "Änne"
    assert refusal(client.patch(path, json={"consent": "none"})) == (422, "invalid_option", "consent")
    assert refusal(client.patch(path, json={})) == (422, "invalid_option", "name")


def test_deleted_voiceprint_is_gone_with_its_recording(
    client: httpx.Client, services: Services, voiceprint_id: str
) -> None:
    path = f"/v1/voiceprints/{voiceprint_id}"
    assert client.delete(path).status_code == 204
    assert client.get(path).status_code == 404
    assert client.delete(path).status_code == 404
    assert not services.blobs.exists(blob_paths.voiceprint_audio(voiceprint_id))


def test_request_without_a_key_is_refused(url: str) -> None:
    for path in ("/v1/voiceprints", f"/v1/voiceprints/{NOBODY}"):
        assert httpx.get(f"{url}{path}", trust_env=False).status_code == 401
    assert httpx.post(f"{url}/v1/jobs/{NOBODY}/names", trust_env=False).status_code == 401


def test_naming_without_any_known_voice_says_how_to_enrol_one(client: httpx.Client, finished_job: Job) -> None:
    answer = client.post(f"/v1/jobs/{finished_job.job_id}/names", json={"voiceprints": "all"})
    assert refusal(answer)[:2] == (422, "invalid_option")
    assert "/v1/voiceprints" in answer.json()["detail"]


def test_naming_a_job_without_kept_voices_is_a_conflict(
    client: httpx.Client, services: Services, finished_job: Job, voiceprint_id: str
) -> None:
    services.voiceprints.set_status(voiceprint_id, "ready")
    answer = client.post(f"/v1/jobs/{finished_job.job_id}/names")
    assert refusal(answer)[:2] == (409, "job_conflict")


@pytest.mark.parametrize("wanted", ["some", [], [1], {"id": NOBODY}])
def test_wanted_voices_of_another_form_are_refused(client: httpx.Client, finished_job: Job, wanted: object) -> None:
    answer = client.post(f"/v1/jobs/{finished_job.job_id}/names", json={"voiceprints": wanted})
    assert refusal(answer) == (422, "invalid_option", "voiceprints")


def test_job_of_another_tenant_cannot_be_named(stranger: httpx.Client, finished_job: Job) -> None:
    assert stranger.post(f"/v1/jobs/{finished_job.job_id}/names").status_code == 404
