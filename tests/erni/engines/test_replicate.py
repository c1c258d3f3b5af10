"""Replicate's engine against its stand-in: each step of a prediction, and each way one goes wrong."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile

from erni.catalogue import load_catalogue
from erni.engine_ports import OneShotRequest
from erni.engines.replicate import ReplicateOneShot
from erni.engines.replicate_connection import ReplicateConnection
from erni.errors import (
    ConfigError,
    EngineAnswerInvalid,
    EngineDown,
    EngineError,
    EngineNotAuthorised,
    EngineQuotaExhausted,
    EngineRateLimited,
    EngineRejected,
    EngineUnavailable,
    JobStopped,
    RemoteJobFailed,
    RemoteJobLost,
)
from erni.model import SAMPLE_RATE_HZ, OneShotAnswer
from vendors.faults import Fault
from vendors.listening import ScriptedListening
from vendors.replicate import API_TOKEN, VERSION, WEBHOOK_SECRET, ReplicateVendor
from vendors.server import serve

ROW = load_catalogue(None, 1.16).find("replicate", "whisper-diarization")
DURATION_S = 13.0


@pytest.fixture
def vendor() -> Iterator[ReplicateVendor]:
    vendor = ReplicateVendor(listening=ScriptedListening())
    yield vendor
    vendor.close()


@pytest.fixture
def connection(vendor: ReplicateVendor) -> Iterator[ReplicateConnection]:
    with serve(vendor.app) as served:
        yield ReplicateConnection(API_TOKEN, f"{served.url}/v1", timeout_s=5.0)


@pytest.fixture
def engine(connection: ReplicateConnection) -> ReplicateOneShot:
    return ReplicateOneShot(connection, ROW.transcriber("replicate:test"), ROW.usd_per_second)


@pytest.fixture
def audio(tmp_path: Path) -> Path:
    path = tmp_path / "canonical.flac"
    samples = np.random.default_rng(0).normal(0, 500, int(DURATION_S * SAMPLE_RATE_HZ)).astype(np.int16)
    soundfile.write(path, samples, SAMPLE_RATE_HZ)
    return path


def go_on() -> None:
    """A checkpoint that never stops."""


def request_for(audio: Path, **changes: object) -> OneShotRequest:
    return replace(OneShotRequest(audio, DURATION_S, "en", None, 2, go_on, "k1"), **changes)


def wait_for(engine: ReplicateOneShot, remote_id: str) -> OneShotAnswer:
    deadline_s = time.monotonic() + 10
    while (answer := engine.collect(remote_id)) is None:
        assert time.monotonic() < deadline_s, "the prediction did not end"
        time.sleep(0.02)
    return answer


def test_a_recording_comes_back_as_words_and_turns(
    engine: ReplicateOneShot, vendor: ReplicateVendor, audio: Path
) -> None:
    answer = wait_for(engine, engine.submit(request_for(audio), None))
    assert (answer.recognition.engine, answer.recognition.model) == (
        "replicate/whisper-diarization",
        "whisper-diarization",
    )
    assert answer.recognition.language == "en"
    assert len(answer.recognition.words) == 32
    assert all(word.timing == "exact" and word.speaker is None for word in answer.recognition.words)
    assert [turn.speaker for turn in answer.diarization.turns] == ["SPEAKER_00", "SPEAKER_01", "SPEAKER_00"]
    assert [billed.work for billed in vendor.faults.billed] == ["prediction"]


def test_the_bill_is_the_hardwares_time(engine: ReplicateOneShot, vendor: ReplicateVendor, audio: Path) -> None:
    vendor.jobs.pace_s = 0.2
    bill = wait_for(engine, engine.submit(request_for(audio), None)).recognition.bill
    assert bill is not None
    assert bill.usage["predict_time"] >= 0.2
    assert bill.usd == pytest.approx(bill.usage["predict_time"] * 0.000975)


def test_the_upload_is_the_recording_itself_and_named_for_its_work(
    engine: ReplicateOneShot, vendor: ReplicateVendor, audio: Path
) -> None:
    engine.submit(request_for(audio), None)
    (file,) = vendor.files
    assert (file.name, file.content_type) == ("erni-k1.flac", "audio/flac")
    assert file.path.read_bytes() == audio.read_bytes()


def test_a_recording_too_large_as_it_is_goes_encoded(
    engine: ReplicateOneShot, vendor: ReplicateVendor, audio: Path
) -> None:
    tight = replace(engine, capabilities=replace(engine.capabilities, max_bytes=audio.stat().st_size - 1))
    tight.submit(request_for(audio), None)
    (file,) = vendor.files
    assert (file.name, file.content_type) == ("erni-k1.ogg", "audio/ogg")
    assert file.path.stat().st_size < 0.5 * audio.stat().st_size
    assert soundfile.info(file.path).duration == pytest.approx(DURATION_S, abs=0.1)


def test_only_what_is_known_is_asked_for(engine: ReplicateOneShot, vendor: ReplicateVendor, audio: Path) -> None:
    engine.submit(request_for(audio, language=None, num_speakers=None), None)
    assert vendor.jobs.all()[0].asked["input"].keys() == {"file"}
    engine.submit(request_for(audio, prompt="Erni, Celery"), None)
    given = vendor.jobs.all()[0].asked["input"]
    assert (given["language"], given["num_speakers"], given["prompt"]) == ("en", 2, "Erni, Celery")


def test_without_a_version_the_newest_is_run(engine: ReplicateOneShot, vendor: ReplicateVendor, audio: Path) -> None:
    engine.submit(request_for(audio), None)
    assert vendor.jobs.all()[0].asked["version"] == VERSION


def test_a_version_that_is_set_is_run(connection: ReplicateConnection, vendor: ReplicateVendor, audio: Path) -> None:
    old = ReplicateOneShot(replace(connection, version="0" * 64), ROW.transcriber("replicate:test"), 0.0)
    with pytest.raises(EngineRejected, match="Invalid version"):
        old.submit(request_for(audio), None)
    assert "/v1/models/thomasmol/whisper-diarization" not in {one.path for one in vendor.faults.received}


@pytest.mark.parametrize("status", ["failed", "canceled"])
def test_a_prediction_that_fails_there_is_rejected(
    engine: ReplicateOneShot, vendor: ReplicateVendor, audio: Path, status: str
) -> None:
    vendor.jobs.order_end(status, "CUDA out of memory")
    with pytest.raises(EngineRejected, match="CUDA"):
        wait_for(engine, engine.submit(request_for(audio), None))


def test_a_prediction_can_be_stopped_by_us_and_else_has_a_deadline_over_there(
    engine: ReplicateOneShot, vendor: ReplicateVendor, audio: Path
) -> None:
    vendor.jobs.pace_s = 1.0
    remote_id = engine.submit(request_for(audio), None)
    time.sleep(0.05)
    engine.cancel(remote_id)
    with pytest.raises(RemoteJobFailed, match="cancelled") as stopped:
        engine.collect(remote_id)
    assert stopped.value.usd == pytest.approx(stopped.value.usage["predict_time"] * engine.usd_per_second)
    engine.cancel(remote_id)
    with pytest.raises(RemoteJobLost):
        engine.cancel("gm3qorzdhgbfurvjtvhg6dckhu")
    [made] = [one for one in vendor.faults.received if (one.method, one.path) == ("POST", "/v1/predictions")]
    assert made.headers["cancel-after"] == "1h"


def test_an_answer_that_was_deleted_is_lost(engine: ReplicateOneShot, vendor: ReplicateVendor, audio: Path) -> None:
    remote_id = engine.submit(request_for(audio), None)
    wait_for(engine, remote_id)
    vendor.jobs.retention_s = 0.0
    with pytest.raises(RemoteJobLost):
        engine.collect(remote_id)
    assert engine.find_submitted("k1") is None, "what is gone is not adopted"


def test_a_prediction_it_does_not_know_is_lost(engine: ReplicateOneShot) -> None:
    with pytest.raises(RemoteJobLost):
        engine.collect("gm3qorzdhgbfurvjtvhg6dckhu")


@pytest.mark.parametrize("kind", ["lost", "torn"])
def test_a_prediction_whose_answer_was_lost_is_found_again(
    engine: ReplicateOneShot, vendor: ReplicateVendor, audio: Path, kind: str
) -> None:
    engine.submit(request_for(audio, key="another"), None)
    vendor.faults.order(Fault(kind, path="/v1/predictions", methods=("POST",)))  # type: ignore[arg-type]  # see above
    with pytest.raises(EngineUnavailable):
        engine.submit(request_for(audio), None)
    found = engine.find_submitted("k1")
    assert found == vendor.jobs.all()[0].job_id
    assert len(wait_for(engine, found).recognition.words) == 32
    assert len(vendor.faults.billed) == 2


@pytest.mark.parametrize("status", ["failed", "canceled", "aborted", ["succeeded"]])
def test_a_prediction_that_ended_without_an_answer_is_not_found_again(
    engine: ReplicateOneShot, vendor: ReplicateVendor, audio: Path, status: str
) -> None:
    vendor.jobs.order_end(status)
    remote_id = engine.submit(request_for(audio), None)
    with pytest.raises(EngineError):
        wait_for(engine, remote_id)
    assert engine.find_submitted("k1") is None


def test_what_was_never_submitted_is_not_found(engine: ReplicateOneShot, vendor: ReplicateVendor, audio: Path) -> None:
    vendor.faults.order(Fault("cut", path="/v1/predictions", methods=("POST",)))
    with pytest.raises(EngineUnavailable):
        engine.submit(request_for(audio), None)
    assert engine.find_submitted("k1") is None
    assert engine.find_submitted("") is None


def test_it_is_looked_for_on_later_pages(engine: ReplicateOneShot, vendor: ReplicateVendor, audio: Path) -> None:
    remote_id = engine.submit(request_for(audio), None)
    (file,) = vendor.files
    for _ in range(120):
        vendor.jobs.start(f"other{len(vendor.jobs.all())}", {"input": {"file": "x"}}, dict)
    assert engine.find_submitted("k1") == remote_id
    assert file.name == "erni-k1.flac"


@pytest.mark.parametrize("path", ["/v1/models", "/v1/files", "/v1/predictions"])
@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (401, EngineNotAuthorised),
        (402, EngineQuotaExhausted),
        (404, EngineRejected),
        (413, EngineRejected),
        (422, EngineRejected),
        (429, EngineRateLimited),
        (500, EngineDown),
    ],
)
def test_each_refusal_is_one_error(
    engine: ReplicateOneShot, vendor: ReplicateVendor, audio: Path, path: str, status: int, kind: type[EngineError]
) -> None:
    vendor.faults.order(Fault("status", status, path=path))
    with pytest.raises(EngineError) as caught:
        engine.submit(request_for(audio), None)
    assert type(caught.value) is kind
    assert API_TOKEN not in caught.value.message


@pytest.mark.parametrize("body", [b"{", b"[]", b"{}", b'{"id": ""}', b'{"id": "a/../b"}', b'{"urls": {}}'])
@pytest.mark.parametrize("path", ["/v1/models", "/v1/files", "/v1/predictions"])
def test_an_answer_that_cannot_be_read_is_invalid(
    engine: ReplicateOneShot, vendor: ReplicateVendor, audio: Path, body: bytes, path: str
) -> None:
    vendor.faults.order(Fault("garbage", body=body, path=path))
    with pytest.raises(EngineAnswerInvalid):
        engine.submit(request_for(audio), None)


def test_a_recording_too_large_is_rejected_before_it_is_sent(
    connection: ReplicateConnection, vendor: ReplicateVendor, audio: Path
) -> None:
    capabilities = replace(ROW.transcriber("replicate:test"), max_bytes=1000)
    with pytest.raises(EngineRejected, match="takes 1000"):
        ReplicateOneShot(connection, capabilities, 0.0).submit(request_for(audio), None)
    assert vendor.files == []


def test_a_stopped_job_is_not_paid_for(engine: ReplicateOneShot, vendor: ReplicateVendor, audio: Path) -> None:
    def stop() -> None:
        raise JobStopped("cancelled")

    with pytest.raises(JobStopped):
        engine.submit(request_for(audio, checkpoint=stop), None)
    assert vendor.faults.received == ()


def test_the_secret_of_its_webhooks_is_asked_for(engine: ReplicateOneShot) -> None:
    assert engine.webhook_secret() == WEBHOOK_SECRET


def test_the_probe_finds_a_wrong_token(
    engine: ReplicateOneShot, connection: ReplicateConnection, vendor: ReplicateVendor
) -> None:
    engine.probe()
    with pytest.raises(EngineNotAuthorised):
        replace(connection, api_token="r8_wrong").probe()
    assert vendor.faults.billed == ()


@pytest.mark.parametrize(
    "changes", [{"model": "whisper"}, {"model": "a/b/c"}, {"version": "latest"}, {"api_token": ""}]
)
def test_a_setting_that_cannot_be_right_is_refused_at_the_start(
    connection: ReplicateConnection, changes: dict[str, str]
) -> None:
    with pytest.raises(ConfigError):
        replace(connection, **changes)
