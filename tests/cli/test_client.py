from __future__ import annotations

import itertools
import socket
import time
from pathlib import Path

import pytest

from cli.client import ErniClient
from cli.failures import RequestFailed


@pytest.fixture
def recording(tmp_path: Path) -> Path:
    path = tmp_path / "talk.flac"
    path.write_bytes(b"fLaC" + bytes(300_000))
    return path


def problem(answer, status, detail, code="some_code"):
    body = {"type": "about:blank", "title": "No", "status": status, "detail": detail, "code": code}
    return answer(status, body, "application/problem+json")


def test_submission_carries_file_options_key_and_idempotency_key(server, answer, job, recording):
    server.will("POST", "/v1/jobs", answer(202, job))
    with ErniClient(server.url, "secret-key") as client:
        assert client.submit(recording, {"language": "en", "metadata[team]": "search"})["id"] == job["id"]
    request = server.requests[0]
    assert request.headers["Authorization"] == "Bearer secret-key"
    assert len(request.headers["Idempotency-Key"]) == 32
    assert b'name="file"; filename="talk.flac"' in request.body
    assert recording.read_bytes() in request.body
    assert b'name="metadata[team]"\r\n\r\nsearch\r\n' in request.body


def test_submission_reports_every_byte_in_growing_steps(server, answer, job, recording):
    server.will("POST", "/v1/jobs", answer(202, job))
    heard: list[int] = []
    with ErniClient(server.url) as client:
        client.submit(recording, on_progress=heard.append)
    assert heard == sorted(heard)
    assert heard[-1] == recording.stat().st_size
    assert len(heard) > 3


def test_upload_is_read_in_small_pieces(server, answer, job, tmp_path):
    big = tmp_path / "big.wav"
    with big.open("wb") as file:
        file.truncate(16 * 1024**2)
    server.will("POST", "/v1/jobs", answer(202, job))
    reads = [0]
    with ErniClient(server.url) as client:
        client.submit(big, on_progress=reads.append)
    assert max(after - before for before, after in itertools.pairwise(reads)) <= 1024**2


def test_dropped_submission_is_sent_again_as_the_same_job(server, answer, dropped, job, recording):
    server.will("POST", "/v1/jobs", dropped, answer(202, job))
    with ErniClient(server.url) as client:
        client.submit(recording)
    first, second = server.requests
    assert first.headers["Idempotency-Key"] == second.headers["Idempotency-Key"]
    assert recording.read_bytes() in second.body


def test_submission_dropped_twice_is_an_error(server, dropped, recording):
    server.will("POST", "/v1/jobs", dropped)
    with ErniClient(server.url) as client, pytest.raises(RequestFailed, match="Cannot reach Erni at"):
        client.submit(recording)
    assert len(server.requests) == 2


def test_refusal_is_told_in_the_servers_words_and_not_sent_again(server, answer, recording):
    server.will("POST", "/v1/jobs", problem(answer, 422, "min_speakers is above max_speakers.", "invalid_option"))
    with ErniClient(server.url) as client, pytest.raises(RequestFailed) as caught:
        client.submit(recording)
    assert caught.value.message == "min_speakers is above max_speakers."
    assert (caught.value.status, caught.value.code) == (422, "invalid_option")
    assert len(server.requests) == 1


def test_missing_file_is_named(server, tmp_path):
    with ErniClient(server.url) as client, pytest.raises(RequestFailed, match=r"Cannot read .*gone\.wav"):
        client.submit(tmp_path / "gone.wav")
    assert server.requests == []


def test_reading_survives_dropped_connections(server, answer, dropped, job):
    server.will("GET", f"/v1/jobs/{job['id']}", dropped, dropped, answer(200, job))
    with ErniClient(server.url) as client:
        assert client.job(job["id"])["status"] == "succeeded"
    assert len(server.requests) == 3


def test_cancelling_is_not_sent_again_on_a_dropped_connection(server, dropped, job):
    server.will("POST", f"/v1/jobs/{job['id']}/cancel", dropped)
    with ErniClient(server.url) as client, pytest.raises(RequestFailed):
        client.cancel(job["id"])
    assert len(server.requests) == 1


def test_absent_server_is_told_at_once_with_its_address_and_what_to_do():
    began_s = time.monotonic()
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    with ErniClient(f"http://127.0.0.1:{port}") as client, pytest.raises(RequestFailed) as caught:
        client.job("a" * 32)
    assert f"http://127.0.0.1:{port}" in caught.value.message
    assert "erni up" in caught.value.message
    assert time.monotonic() - began_s < 1


def test_server_that_goes_away_while_waited_for_is_tried_again(server, answer, job, monkeypatch):
    monkeypatch.setattr("cli.client.FIRST_PAUSE_S", 0.01)
    server.will("GET", f"/v1/jobs/{job['id']}", answer(200, job | {"status": "queued"}))
    with ErniClient(server.url) as client:
        client.job(job["id"])
        server.stop()
        began_s = time.monotonic()
        with pytest.raises(RequestFailed, match="Cannot reach Erni"):
            client.job(job["id"])
    assert time.monotonic() - began_s > 0.01 + 0.02 + 0.04 + 0.08 + 0.16


def test_missing_key_says_where_to_get_one(server, answer):
    server.will("GET", "/v1/jobs", problem(answer, 401, "An API key is needed.", "not_authenticated"))
    with (
        ErniClient(server.url) as client,
        pytest.raises(RequestFailed, match=r"An API key is needed\..*ERNI_CLIENT__KEY"),
    ):
        list(client.jobs(limit=1))


def test_answer_of_another_program_is_told(server, answer):
    server.will("GET", "/v1/jobs/x", answer(200, b"<html>hello</html>", "text/html"))
    with ErniClient(server.url) as client, pytest.raises(RequestFailed, match="does not answer like Erni"):
        client.job("x")


def test_failure_without_a_problem_body_tells_the_status(server, answer):
    server.will("GET", "/v1/jobs/x", answer(502, b"<html>", "text/html"))
    with ErniClient(server.url) as client, pytest.raises(RequestFailed, match="502 Bad Gateway"):
        client.job("x")


def test_wrong_url_is_told():
    with pytest.raises(RequestFailed, match="is not a URL"):
        ErniClient("http://127.0.0.1:port")


def test_listing_follows_pages_up_to_the_limit(server, answer):
    pages = [
        answer(200, {"jobs": [{"id": "1"}, {"id": "2"}], "next": "2"}),
        answer(200, {"jobs": [{"id": "3"}], "next": None}),
    ]
    server.will("GET", "/v1/jobs", *pages)
    with ErniClient(server.url) as client:
        assert [job["id"] for job in client.jobs(limit=10, status="failed")] == ["1", "2", "3"]
    assert [request.query for request in server.requests] == [
        {"limit": "10", "status": "failed"},
        {"limit": "8", "after": "2", "status": "failed"},
    ]


def test_waiting_tells_every_state_and_ends_with_the_last(server, answer, job, monkeypatch):
    monkeypatch.setattr("cli.client.FIRST_PAUSE_S", 0.01)
    states = ["queued", "processing", "partial"]
    server.will("GET", f"/v1/jobs/{job['id']}", *[answer(200, job | {"status": state}) for state in states])
    heard: list[str] = []
    with ErniClient(server.url) as client:
        last = client.wait(job["id"], lambda update: heard.append(update["status"]))
    assert heard == states
    assert last["status"] == "partial"


def test_transcript_is_asked_for_in_its_format(server, answer, job):
    server.will("GET", f"/v1/jobs/{job['id']}/transcript", answer(200, b"1\n00:00:00,000", "application/x-subrip"))
    with ErniClient(server.url) as client:
        assert client.transcript(job["id"], "srt") == b"1\n00:00:00,000"
    assert server.requests[0].query == {"format": "srt"}


def test_proxy_of_the_environment_is_not_used_for_this_host(server, answer, job, monkeypatch):
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    server.will("GET", f"/v1/jobs/{job['id']}", answer(200, job))
    with ErniClient(server.url) as client:
        assert client.job(job["id"])["id"] == job["id"]
