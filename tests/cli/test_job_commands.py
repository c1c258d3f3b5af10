from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from cli.main import main

JOB_ID = "a" * 32


@pytest.fixture
def run(server, monkeypatch):
    """Calls ``erni`` against the loopback server."""
    monkeypatch.setenv("ERNI_CLIENT__URL", server.url)
    monkeypatch.setenv("ERNI_CLIENT__KEY", "the-key")

    def call(*arguments: str):
        return CliRunner().invoke(main, arguments)

    return call


@pytest.fixture
def recording(tmp_path: Path) -> Path:
    path = tmp_path / "standup.flac"
    path.write_bytes(b"fLaC")
    return path


@pytest.fixture
def speak(server, answer, job, recording):
    """Lets the server take an upload and tell a job's end and transcript; returns a recording to send."""

    def tell(job_id: str = JOB_ID, text: str = "Speaker 1: Hello.\n", **end: Any) -> Path:
        server.will("POST", "/v1/jobs", answer(202, job | {"id": job_id, "status": "queued"}))
        server.will("GET", f"/v1/jobs/{job_id}", answer(200, job | {"id": job_id} | end))
        server.will("GET", f"/v1/jobs/{job_id}/transcript", answer(200, text.encode(), "text/plain"))
        return recording

    return tell


def test_transcript_alone_goes_to_the_output(run, speak, server):
    recording = speak()
    result = run("transcribe", str(recording))
    assert (result.exit_code, result.stdout, result.stderr) == (0, "Speaker 1: Hello.\n", "")
    assert server.requests[0].headers["Authorization"] == "Bearer the-key"


def test_only_given_options_are_sent(run, speak, server):
    recording = speak()
    result = run("transcribe", str(recording), "--language", "en", "--num-speakers", "3", "--metadata", "team=a=b")
    assert result.exit_code == 0
    body = server.requests[0].body.decode(errors="replace")
    assert body.count("Content-Disposition") == 4
    for name, value in [("language", "en"), ("num_speakers", "3"), ("metadata[team]", "a=b")]:
        assert f'name="{name}"\r\n\r\n{value}\r\n' in body


def test_options_on_engines_gaps_cache_and_time_are_sent(run, speak, server):
    options = ["--fallback", "a,b", "--on-gap", "fail", "--cache", "refresh", "--deadline", "90"]
    assert run("transcribe", str(speak()), *options).exit_code == 0
    body = server.requests[0].body.decode(errors="replace")
    for name, value in [("fallback", "a,b"), ("on_gap", "fail"), ("cache", "refresh"), ("deadline_s", "90.0")]:
        assert f'name="{name}"\r\n\r\n{value}\r\n' in body


@pytest.mark.parametrize(
    ("options", "asked"),
    [(["talk.srt"], "srt"), (["talk.text"], "txt"), (["talk.srt", "--format", "vtt"], "vtt")],
)
def test_format_follows_the_option_then_the_file_name(run, speak, server, options, asked):
    recording = speak()
    output = recording.with_name(options[0])
    assert run("transcribe", str(recording), "-o", str(output), *options[1:]).exit_code == 0
    assert server.requests[-1].query == {"format": asked}
    assert output.read_text() == "Speaker 1: Hello.\n"


def test_several_recordings_go_to_files_in_a_directory(run, speak, tmp_path):
    other = tmp_path / "other.wav"
    other.write_bytes(b"RIFF")
    second_id = "b" * 32
    recording = speak()
    speak(second_id, "Other.\n")
    result = run("transcribe", str(recording), str(other), "-o", str(tmp_path))
    assert result.exit_code == 0, result.output
    assert (tmp_path / "standup.txt").read_text() == "Speaker 1: Hello.\n"
    assert (tmp_path / "other.txt").read_text() == "Other.\n"


def test_several_recordings_do_not_fit_in_one_file(run, server, recording, tmp_path):
    result = run("transcribe", str(recording), str(recording), "-o", str(tmp_path / "one.txt"))
    assert result.exit_code == 2
    assert "must be an existing directory" in result.stderr
    assert server.requests == []


def test_recordings_of_one_name_do_not_overwrite_each_other(run, server, recording, tmp_path):
    (tmp_path / "standup.wav").write_bytes(b"RIFF")
    result = run("transcribe", str(recording), str(tmp_path / "standup.wav"), "-o", str(tmp_path))
    assert result.exit_code == 2
    assert "to the same file" in result.stderr
    assert server.requests == []


def test_lost_server_leaves_the_ids_of_the_jobs_still_waited_for(run, speak, server, dropped, monkeypatch):
    monkeypatch.setattr("cli.client.FIRST_PAUSE_S", 0.01)
    recording = speak()
    server.answers["GET", f"/v1/jobs/{JOB_ID}"].appendleft(dropped)
    server.answers["GET", f"/v1/jobs/{JOB_ID}"].pop()
    result = run("transcribe", str(recording))
    assert result.exit_code == 1
    assert f"is job {JOB_ID}. See `erni show {JOB_ID}`" in result.stderr
    assert "Error: Cannot reach Erni" in result.stderr


def test_refused_recording_does_not_hold_up_the_others(run, speak, server, answer, tmp_path):
    other = tmp_path / "notes.doc"
    other.write_bytes(b"no sound")
    problem = {"title": "No", "status": 422, "detail": "This is not a recording.", "code": "unreadable_media"}
    server.will("POST", "/v1/jobs", answer(422, problem))
    recording = speak()
    result = run("transcribe", str(other), str(recording))
    assert result.exit_code == 1
    assert result.stdout == "Speaker 1: Hello.\n"
    assert result.stderr == f"Error: {other}: This is not a recording.\n"


def test_partial_transcript_is_a_success_with_a_warning(run, speak):
    warning = {"code": "gap", "message": "12.0-15.5 s could not be transcribed."}
    recording = speak(status="partial", warnings=[warning])
    result = run("transcribe", str(recording))
    assert (result.exit_code, result.stdout) == (0, "Speaker 1: Hello.\n")
    assert "Warning: 12.0-15.5 s could not be transcribed." in result.stderr
    assert f"is partial: some speech is missing from the transcript. `erni retry {JOB_ID}`" in result.stderr


@pytest.mark.parametrize(
    ("end", "told"),
    [
        (
            {"status": "failed", "error": {"code": "x", "message": "No speech found."}},
            "failed: No speech found.",
        ),
        ({"status": "cancelled"}, "is cancelled."),
    ],
)
def test_job_without_a_transcript_is_a_failure(run, speak, end, told):
    recording = speak(**end)
    result = run("transcribe", str(recording))
    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr == f"Error: job {JOB_ID} {told}\n"


def test_server_error_is_one_line(run, server, answer, recording):
    problem = {"title": "No", "status": 422, "detail": "min_speakers is above max_speakers.", "code": "x"}
    server.will("POST", "/v1/jobs", answer(422, problem))
    result = run("transcribe", str(recording), "--min-speakers", "3", "--max-speakers", "2")
    assert (result.exit_code, result.stderr) == (1, "Error: min_speakers is above max_speakers.\n")


def test_unwritable_target_is_told_with_the_job_that_keeps_the_transcript(run, speak, tmp_path):
    recording = speak()
    result = run("transcribe", str(recording), "-o", str(tmp_path / "absent" / "talk.txt"))
    assert result.exit_code == 1
    job_line, error_line = result.stderr.splitlines()
    assert f"is job {JOB_ID}." in job_line
    assert error_line.startswith("Error: Cannot write ")


def test_malformed_metadata_is_a_usage_error(run, recording):
    result = run("transcribe", str(recording), "--metadata", "team")
    assert result.exit_code == 2
    assert "`team` is not of the form key=value." in result.stderr


def test_wrong_setting_is_one_line_with_its_name(run, monkeypatch):
    monkeypatch.setenv("ERNI_API__PORT", "many")
    result = run("jobs")
    assert result.exit_code == 2
    assert "ERNI_API__PORT" in result.stderr
    assert result.stderr.count("\n") == 1


def test_listing_shows_whole_ids(run, server, answer, job):
    server.will("GET", "/v1/jobs", answer(200, {"jobs": [job | {"duration_s": None}, job], "next": None}))
    result = run("jobs", "--status", "succeeded", "--limit", "5")
    assert result.exit_code == 0
    assert result.stdout.count(JOB_ID) == 2
    assert "86 s" in result.stdout
    assert server.requests[0].query == {"limit": "5", "status": "succeeded"}


def test_show_tells_state_error_warnings_and_timings(run, server, answer, job):
    told = {
        "status": "failed",
        "error": {"code": "x", "message": "No speech."},
        "warnings": [{"message": "Cut."}],
    }
    server.will("GET", f"/v1/jobs/{JOB_ID}", answer(200, job | told))
    lines = run("show", JOB_ID).stdout.splitlines()
    assert lines == [
        f"{JOB_ID}  failed  100%",
        "error: No speech.",
        "warning: Cut.",
        "prepare: 0.50 s",
        "total: 3.25 s",
    ]


def test_show_tells_what_a_job_waits_for_and_what_it_was_spared(run, server, answer, job):
    told = {
        "status": "processing",
        "progress": 0.5,
        "waiting": {"until": "2026-01-02T03:04:05.000Z", "because": "The engine was asked too often."},
        "reused": {"prepare": 1, "transcribe": 4, "diarize": 0, "job": 0, "engine_s": 12.5, "usd": 0.024},
        "timings": {},
    }
    server.will("GET", f"/v1/jobs/{JOB_ID}", answer(200, job | told))
    assert run("show", JOB_ID).stdout.splitlines() == [
        f"{JOB_ID}  processing  50%",
        "waiting: until 2026-01-02T03:04:05.000Z, because: The engine was asked too often.",
        "reused: prepare 1, transcribe 4; spared 12.50 s of engine time and 0.0240 USD",
    ]


def test_show_says_nothing_of_reuse_where_there_was_none(run, server, answer, job):
    nothing = {"prepare": 0, "transcribe": 0, "diarize": 0, "job": 0, "engine_s": 0.0, "usd": 0.0}
    server.will("GET", f"/v1/jobs/{JOB_ID}", answer(200, job | {"waiting": None, "reused": nothing, "timings": {}}))
    assert run("show", JOB_ID).stdout == f"{JOB_ID}  succeeded  100%\n"


def test_show_with_a_format_prints_the_transcript(run, server, answer):
    server.will("GET", f"/v1/jobs/{JOB_ID}/transcript", answer(200, json.dumps({"segments": []}).encode()))
    assert run("show", JOB_ID, "--format", "json").stdout == '{"segments": []}\n'


def test_retry_tells_what_became_of_the_job(run, server, answer, job):
    server.will("POST", f"/v1/jobs/{JOB_ID}/retry", answer(202, job | {"status": "queued"}))
    assert run("retry", JOB_ID).stdout == f"{JOB_ID} queued\n"


def test_retry_that_is_refused_is_one_line(run, server, answer):
    problem = {"title": "No", "status": 409, "detail": "The job succeeded: nothing is missing.", "code": "job_conflict"}
    server.will("POST", f"/v1/jobs/{JOB_ID}/retry", answer(409, problem))
    result = run("retry", JOB_ID)
    assert (result.exit_code, result.stderr) == (1, "Error: The job succeeded: nothing is missing.\n")


def test_cancel_and_delete_tell_what_became_of_the_job(run, server, answer, job):
    server.will("POST", f"/v1/jobs/{JOB_ID}/cancel", answer(200, job | {"status": "cancelled"}))
    removed = {"records": 1, "steps": 4, "blobs": 9, "cache_entries": 3}
    server.will("DELETE", f"/v1/jobs/{JOB_ID}", answer(200, {"id": JOB_ID, "removed": removed}))
    assert run("cancel", JOB_ID).stdout == f"{JOB_ID} cancelled\n"
    told = f"{JOB_ID} deleted: 1 records, 4 steps, 9 blobs, 3 cache entries\n"
    assert run("delete", JOB_ID).stdout == told


def test_unknown_job_is_one_line(run):
    result = run("show", "nothing")
    assert (result.exit_code, result.stderr) == (1, "Error: There is no job with this id.\n")


def test_interrupt_tells_how_to_go_on(speak, server):
    recording = speak(status="processing")
    environment = dict(os.environ) | {"ERNI_CLIENT__URL": server.url}
    with subprocess.Popen(
        [sys.executable, "-m", "cli.main", "transcribe", str(recording)],
        env=environment,
        stderr=subprocess.PIPE,
        text=True,
    ) as command:
        deadline_s = time.monotonic() + 20
        while len(server.requests) < 3:
            assert time.monotonic() < deadline_s
            time.sleep(0.05)
        command.send_signal(signal.SIGINT)
        told = command.stderr.read()
    assert command.returncode == 130
    assert f"{recording} is job {JOB_ID}. See `erni show {JOB_ID}`; end it with `erni cancel {JOB_ID}`." in told
    assert "Traceback" not in told
