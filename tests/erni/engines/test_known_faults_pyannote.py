"""The ten faults of another client of pyannote.ai that this one must not have, a test each, over the real protocol."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from config.engines import build_diarizers, build_voiceprint_makers
from config.settings import Settings
from erni.catalogue import load_catalogue
from erni.engine_ports import DiarizationRequest, RemoteVoice
from erni.engines.pyannote import PyannoteDiarizer, PyannoteVoiceprints
from erni.engines.pyannote_answers import read_output, read_turns
from erni.engines.pyannote_connection import PyannoteConnection
from erni.errors import EngineError, EngineRateLimited, EngineRejected, SignatureInvalid
from erni.model import SAMPLE_RATE_HZ, Diarization, Turn
from erni.signatures import verify_pyannote
from vendors.faults import Fault
from vendors.listening import ScriptedListening
from vendors.pyannote import API_KEY, PyannoteVendor
from vendors.server import serve
from vendors.signing import sign_pyannote

ROW = load_catalogue(None, 1.16).find("pyannote", "precision-2")
SECRET = "whs_secret"


@pytest.fixture
def vendor() -> Iterator[PyannoteVendor]:
    vendor = PyannoteVendor(listening=ScriptedListening())
    yield vendor
    vendor.close()


@pytest.fixture
def connection(vendor: PyannoteVendor) -> Iterator[PyannoteConnection]:
    with serve(vendor.app) as served:
        yield PyannoteConnection(API_KEY, served.url, timeout_s=5.0)


@pytest.fixture
def diarizer(connection: PyannoteConnection) -> PyannoteDiarizer:
    return PyannoteDiarizer(connection, ROW.diarizer("pyannote:test"))


@pytest.fixture
def audio(tmp_path: Path) -> Path:
    path = tmp_path / "canonical.flac"
    samples = np.random.default_rng(0).normal(0, 500, 13 * SAMPLE_RATE_HZ).astype(np.int16)
    soundfile.write(path, samples, SAMPLE_RATE_HZ)
    return path


def go_on() -> None:
    """A checkpoint that never stops."""


def request_for(audio: Path, **changes: object) -> DiarizationRequest:
    return replace(DiarizationRequest(audio, (), None, None, None, go_on, "k1"), **changes)


def diarize(diarizer: PyannoteDiarizer, request: DiarizationRequest) -> Diarization:
    remote_id = diarizer.submit(request, None)
    deadline_s = time.monotonic() + 10
    while (answer := diarizer.collect(remote_id)) is None:
        assert time.monotonic() < deadline_s, "the job did not end"
        time.sleep(0.02)
    return answer


@pytest.mark.parametrize(
    ("status", "expected"),
    [("pending", "wait"), ("created", "wait"), ("running", "wait"), ("failed", "reject"), ("canceled", "reject")],
)
def test_fault_1_no_state_but_success_is_read_as_an_answer(status: str, expected: str) -> None:
    job = {"status": status, "output": {"diarization": [{"speaker": "SPEAKER_00", "start": 0, "end": 1}]}}
    if expected == "wait":
        assert read_output(job) is None
    else:
        with pytest.raises(EngineRejected):
            read_output(job)


def test_fault_2_known_voices_are_sent_as_voiceprints_with_labels(
    diarizer: PyannoteDiarizer, vendor: PyannoteVendor, audio: Path
) -> None:
    diarizer.submit(request_for(audio, known_voices=(RemoteVoice("voice-1", "AAAA"),)), None)
    asked = vendor.jobs.all()[0].asked
    assert asked["voiceprints"] == [{"label": "voice-1", "voiceprint": "AAAA"}]
    assert "voiceprintIds" not in asked


def test_fault_3_scores_of_0_to_100_become_0_to_1(
    diarizer: PyannoteDiarizer, connection: PyannoteConnection, vendor: PyannoteVendor, audio: Path
) -> None:
    maker = PyannoteVoiceprints(connection, ROW.voiceprint_maker("pyannote:test"))
    remote_id = maker.submit(audio, "v1", None)
    while (voiceprint := maker.collect(remote_id)) is None:
        time.sleep(0.02)
    answer = diarize(diarizer, request_for(audio, known_voices=(RemoteVoice("voice-1", voiceprint),)))
    job = vendor.jobs.all()[0]
    said = {row["speaker"]: row["confidence"]["voice-1"] for row in job.output["voiceprints"]}
    assert all(isinstance(score, int) and score > 1 for score in said.values())
    assert {score.speaker: score.score for score in answer.scores} == {
        speaker: score / 100 for speaker, score in said.items()
    }
    assert job.asked["matching"]["threshold"] == 0, "nothing is filtered over there"


def test_fault_4_the_reason_of_a_refusal_is_read_from_message_and_errors(
    diarizer: PyannoteDiarizer, vendor: PyannoteVendor, audio: Path
) -> None:
    vendor.faults.order(Fault("status", 400, code="Invalid URL", path="/v1/diarize"))
    with pytest.raises(EngineRejected, match="Invalid request: url: Invalid URL"):
        diarizer.submit(request_for(audio), None)


def test_fault_5_the_output_is_not_looked_for_in_a_result() -> None:
    row = {"speaker": "SPEAKER_00", "start": 0, "end": 1}
    with pytest.raises(EngineError):
        read_turns({"result": {"diarization": [row]}})
    assert read_turns({"result": {"diarization": []}, "diarization": [row]}) == (Turn(0.0, 1.0, "SPEAKER_00"),)


@pytest.mark.parametrize("status", ["succeeded", "failed", "canceled"])
def test_fault_6_a_webhook_says_which_job_and_state_and_nothing_is_guessed_from_its_output(status: str) -> None:
    content = {"jobId": "a-1", "status": status, "output": {"diarization": [], "identification": []}}
    body, now = json.dumps(content).encode(), datetime.now(UTC)
    delivery = verify_pyannote(SECRET, sign_pyannote(SECRET, int(now.timestamp()), body, "hex"), body, now, 300.0)
    assert (delivery.remote_id, delivery.status) == ("a-1", status)


@pytest.mark.parametrize("encoding", ["hex", "base64"])
def test_fault_7_a_webhook_is_verified_over_its_raw_bytes_within_a_time_window_and_known_again(encoding: Any) -> None:
    body, now = b'{"status" : "succeeded", "jobId":"a-1"}', datetime.now(UTC)
    headers = sign_pyannote(SECRET, int(now.timestamp()), body, encoding)
    first = verify_pyannote(SECRET, headers, body, now, 300.0)
    assert verify_pyannote(SECRET, headers, body, now, 300.0).delivery_id == first.delivery_id
    with pytest.raises(SignatureInvalid):
        verify_pyannote(SECRET, headers, json.dumps(json.loads(body)).encode(), now, 300.0)
    with pytest.raises(SignatureInvalid):
        verify_pyannote(SECRET, headers, body, datetime.fromtimestamp(now.timestamp() + 301, UTC), 300.0)


def test_fault_8_the_key_and_the_address_set_are_those_used(
    vendor: PyannoteVendor, audio: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("PYANNOTEAI_API_KEY", "PYANNOTEAI_API_TOKEN", "PYANNOTE_API_KEY"):
        monkeypatch.setenv(name, "a-key-of-another-program")
    with serve(vendor.app) as served:
        monkeypatch.setenv("ERNI_PYANNOTE__API_KEY", API_KEY)
        monkeypatch.setenv("ERNI_PYANNOTE__BASE_URL", served.url)
        settings = Settings()
        diarizer = build_diarizers(settings)["pyannote/precision-2"]
        assert isinstance(diarizer, PyannoteDiarizer)
        diarizer.submit(request_for(audio), None)
        build_voiceprint_makers(settings)["pyannote"].submit(audio, "v1", None)
    assert len(vendor.jobs.all()) == 2
    shown = {one.headers.get("authorization") for one in vendor.faults.received if one.method != "PUT"}
    assert shown == {f"Bearer {API_KEY}"}


def test_fault_9_the_media_address_is_made_of_the_work_and_the_real_container(
    diarizer: PyannoteDiarizer, connection: PyannoteConnection, vendor: PyannoteVendor, audio: Path
) -> None:
    diarizer.submit(request_for(audio, key="a"), None)
    diarizer.submit(request_for(audio, key="a"), None)
    limits = replace(ROW.diarizer("pyannote:test"), max_bytes=audio.stat().st_size - 1)
    small = PyannoteDiarizer(connection, limits)
    small.submit(request_for(audio, key="b"), None)
    addresses = [job.asked["url"] for job in reversed(vendor.jobs.all())]
    assert addresses == ["media://erni/a.flac", "media://erni/a.flac", "media://erni/b.ogg"]


def test_fault_10_model_counts_and_exclusive_turns_are_asked_for_and_50_voices_are_no_limit_of_speakers(
    diarizer: PyannoteDiarizer, vendor: PyannoteVendor, audio: Path
) -> None:
    diarizer.submit(request_for(audio, min_speakers=2, max_speakers=60), None)
    voices = (RemoteVoice("voice-1", "AAAA"),)
    diarizer.submit(request_for(audio, num_speakers=60, known_voices=voices), None)
    identified, diarized = (job.asked for job in vendor.jobs.all())
    assert (diarized["model"], diarized["exclusive"]) == ("precision-2", True)
    assert (diarized["minSpeakers"], diarized["maxSpeakers"]) == (2, 60)
    assert (identified["model"], identified["exclusive"], identified["numSpeakers"]) == ("precision-2", True, 60)
    assert ROW.requests_per_minute == 100


def test_fault_17_a_429_is_a_wait_of_as_long_as_it_says_and_the_voiceprint_maker_can_be_made(
    diarizer: PyannoteDiarizer, connection: PyannoteConnection, vendor: PyannoteVendor, audio: Path
) -> None:
    vendor.faults.order(Fault("status", 429, headers={"Retry-After": "17"}, path="/v1/diarize"))
    with pytest.raises(EngineRateLimited) as caught:
        diarizer.submit(request_for(audio), None)
    assert caught.value.retry_after_s == 17.0
    vendor.faults.order(Fault("status", 429, headers={"Retry-After": "3"}, path="/v1/voiceprint"))
    with pytest.raises(EngineRateLimited) as caught:
        PyannoteVoiceprints(connection, ROW.voiceprint_maker("pyannote:test")).submit(audio, "v1", None)
    assert caught.value.retry_after_s == 3.0
