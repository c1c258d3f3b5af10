"""The sample through REST, real Redis, real workers and real models: who said what, in every format."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families

from cli.client import ErniClient
from cli.scoring import score_transcript

pytestmark = [pytest.mark.stack, pytest.mark.models]

SAMPLES = Path(__file__).parents[2] / "samples"
SAMPLE = SAMPLES / "standup.flac"


@pytest.fixture(scope="module")
def done(stack: Any) -> dict[str, Any]:
    """The sample's job, over."""
    with stack.client() as client:
        return client.wait(client.submit(SAMPLE, {"language": "en"})["id"])


@pytest.fixture(scope="module")
def transcript(stack: Any, done: dict[str, Any]) -> dict[str, Any]:
    with stack.client() as client:
        return json.loads(client.transcript(done["id"], "json"))


def test_the_sample_is_transcribed_and_its_speakers_told_apart(
    done: dict[str, Any], transcript: dict[str, Any]
) -> None:
    assert done["status"] == "succeeded"
    score = score_transcript(transcript, json.loads((SAMPLES / "standup.json").read_text()))
    assert score.word_error_rate < 0.15
    assert score.speakers_found == 3
    assert score.speaker_word_accuracy > 0.97


def test_the_job_tells_its_whole_story(done: dict[str, Any]) -> None:
    assert done["progress"] == 1.0
    assert done["stage"] is None
    assert done["error"] is None
    assert done["chunks"]["done"] == done["chunks"]["total"] > 1
    assert {"queue_s", "prepare_s", "transcribe_s", "diarize_s", "join_s", "total_s"} <= set(done["timings"])
    assert done["duration_s"] == pytest.approx(86.5, abs=0.5)


def test_speakers_are_numbered_by_first_appearance(transcript: dict[str, Any]) -> None:
    heard = list(dict.fromkeys(segment["speaker"] for segment in transcript["segments"]))
    assert heard == ["speaker_1", "speaker_2", "speaker_3"]


def test_every_spoken_second_is_accounted_for(transcript: dict[str, Any]) -> None:
    coverage = transcript["coverage"]
    assert coverage["covered_speech_s"] == pytest.approx(coverage["speech_s"], abs=0.01)
    assert coverage["gaps"] == []
    assert coverage["seams"] != []
    assert coverage["words"] == sum(len(segment["words"]) for segment in transcript["segments"])


def test_the_demo_model_is_named_as_such(transcript: dict[str, Any]) -> None:
    (transcriber,) = [use for use in transcript["engines"] if use["role"] == "transcriber"]
    assert (transcriber["model"], transcriber["grade"]) == ("tiny.en", "demo")


@pytest.mark.parametrize(
    ("format_name", "start"), [("srt", "1\n00:00:0"), ("vtt", "WEBVTT"), ("txt", "[00:00:0"), ("json", "{")]
)
def test_every_format_is_rendered_from_the_stored_transcript(
    client: ErniClient, done: dict[str, Any], format_name: str, start: str
) -> None:
    assert client.transcript(done["id"], format_name).decode().startswith(start)


def test_an_exact_speaker_count_is_honoured(client: ErniClient) -> None:
    job = client.wait(client.submit(SAMPLE, {"num_speakers": "2", "language": "en"})["id"])
    assert len(json.loads(client.transcript(job["id"], "json"))["speakers"]) == 2


def test_a_language_the_model_cannot_do_is_refused(client: ErniClient) -> None:
    with pytest.raises(Exception, match=r"tiny\.en.* de"):
        client.submit(SAMPLE, {"language": "de"})


def test_metrics_count_what_the_workers_did(stack: Any, done: dict[str, Any]) -> None:
    text = httpx.get(f"{stack.api_url}/metrics").text
    samples = {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }
    assert samples[("erni_jobs", (("status", "succeeded"),))] >= 1
    assert samples[("erni_stage_seconds_count", (("stage", "diarize"),))] >= 1
    assert samples[("erni_audio_seconds_total", (("status", "succeeded"),))] > 80


def test_flower_wants_its_login_and_shows_the_workers(stack: Any) -> None:
    assert httpx.get(f"{stack.flower_url}/workers").status_code == 401
    page = httpx.get(f"{stack.flower_url}/workers", auth=("erni", "flower-password"))
    assert page.status_code == 200
    assert "transcribe@" in page.text


def test_the_command_line_transcribes_a_file(stack: Any, tmp_path: Path) -> None:
    output = tmp_path / "standup.srt"
    command = [sys.executable, "-m", "cli.main", "transcribe", "--url", stack.api_url, "--key", stack.key]
    ran = subprocess.run(
        [*command, "--format", "srt", "-o", output, SAMPLE],
        cwd=SAMPLES.parent,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr
    assert "Speaker 3:" in output.read_text()


def test_a_running_job_is_cancelled_within_seconds(client: ErniClient) -> None:
    job = client.submit(SAMPLE, {"language": "en", "cache": "bypass"})
    while client.job(job["id"])["status"] in ("queued", "preparing"):
        time.sleep(0.05)
    client.cancel(job["id"])
    assert client.job(job["id"])["status"] == "cancelled"
    after = client.wait(client.submit(SAMPLE, {"language": "en", "cache": "bypass"})["id"])
    # The cancelled pieces gave the workers back: what came next did not wait for them.
    assert after["status"] == "succeeded"
    assert client.job(job["id"])["status"] == "cancelled"


def test_a_deleted_job_is_gone_with_its_audio_and_text(stack: Any, client: ErniClient) -> None:
    job = client.wait(client.submit(SAMPLE, {"language": "en", "cache": "bypass"})["id"])
    assert list((stack.data_dir / "blobs").glob(f"**/{job['id']}/*"))
    client.delete(job["id"])
    assert not list((stack.data_dir / "blobs").glob(f"**/{job['id']}"))
    with pytest.raises(Exception, match="no job"):
        client.job(job["id"])
