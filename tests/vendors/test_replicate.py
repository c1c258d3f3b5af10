"""The loopback Replicate, asked by its own SDK; its webhooks, verified by the SDK; and what it refuses."""

from __future__ import annotations

import io
import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
import replicate
import soundfile
from replicate.exceptions import ModelError, ReplicateError
from replicate.webhook import Webhooks

from erni.model import SAMPLE_RATE_HZ
from erni.signatures import verify_replicate
from vendors.faults import Fault
from vendors.listening import LocalListening, ScriptedListening
from vendors.replicate import API_TOKEN, MODEL, OWNER, VERSION, ReplicateVendor
from vendors.server import serve

SAMPLE = Path(__file__).parents[2] / "samples" / "standup.flac"
REFERENCE = f"{OWNER}/{MODEL}:{VERSION}"


@pytest.fixture
def vendor() -> Iterator[ReplicateVendor]:
    vendor = ReplicateVendor(listening=ScriptedListening())
    yield vendor
    vendor.close()


@pytest.fixture
def url(vendor: ReplicateVendor) -> Iterator[str]:
    with serve(vendor.app) as served:
        yield served.url


@pytest.fixture
def client(url: str, monkeypatch: pytest.MonkeyPatch) -> replicate.Client:
    monkeypatch.setenv("REPLICATE_POLL_INTERVAL", "0.02")
    return replicate.Client(API_TOKEN, base_url=url)


@pytest.fixture
def api(url: str) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=url, headers={"Authorization": f"Bearer {API_TOKEN}"}, trust_env=False) as client:
        yield client


def sound(duration_s: float = 13.0) -> io.BytesIO:
    written = io.BytesIO()
    samples = np.random.default_rng(0).normal(0, 500, int(duration_s * SAMPLE_RATE_HZ)).astype(np.int16)
    soundfile.write(written, samples, SAMPLE_RATE_HZ, format="FLAC")
    written.seek(0)
    written.name = "sound.flac"
    return written


def test_the_sdk_runs_the_model(client: replicate.Client, vendor: ReplicateVendor) -> None:
    output = client.run(REFERENCE, input={"file": sound(), "num_speakers": 2, "language": "de"}, use_file_output=False)
    assert isinstance(output, dict)
    assert (output["language"], output["num_speakers"]) == ("de", 2)
    segment = output["segments"][0]
    assert segment["words"][0].keys() == {"start", "end", "word", "probability", "speaker"}
    assert segment["words"][0]["word"].startswith(" ")
    assert [segment["speaker"] for segment in output["segments"]] == ["SPEAKER_00", "SPEAKER_01", "SPEAKER_00"]
    assert len(vendor.faults.billed) == 1


def test_the_sdk_finds_model_version_files_and_predictions(client: replicate.Client) -> None:
    model = client.models.get(f"{OWNER}/{MODEL}")
    assert model.latest_version is not None
    assert model.latest_version.id == VERSION
    file = client.files.create(sound(), filename="a.flac", metadata={"key": "k1"})
    assert (file.name, file.metadata) == ("a.flac", {"key": "k1"})
    assert [one.id for one in client.files.list()] == [file.id]
    prediction = client.predictions.create(version=VERSION, input={"file": file.urls["get"]})
    prediction.wait()
    assert prediction.status == "succeeded"
    assert prediction.metrics is not None
    assert prediction.metrics["predict_time"] >= 0
    assert [one.id for one in client.predictions.list()] == [prediction.id]
    assert client.files.delete(file.id)
    assert client.files.list() == []


def test_a_community_model_cannot_be_run_by_name(client: replicate.Client) -> None:
    with pytest.raises(ReplicateError) as caught:
        client.run(f"{OWNER}/{MODEL}", input={"file": sound()})
    assert caught.value.status == 404


def test_the_sdk_sees_a_failed_prediction(client: replicate.Client, vendor: ReplicateVendor) -> None:
    with pytest.raises(ModelError, match="could not be downloaded"):
        client.run(REFERENCE, input={"file": "https://example.org/a.wav"})
    assert vendor.faults.billed == ()


def test_the_sdk_cancels_a_prediction(client: replicate.Client, vendor: ReplicateVendor) -> None:
    vendor.jobs.pace_s = 5.0
    prediction = client.predictions.create(version=VERSION, input={"file": "x"})
    prediction.cancel()
    assert client.predictions.get(prediction.id).status == "canceled"


def test_the_sdk_reads_its_errors(client: replicate.Client, vendor: ReplicateVendor) -> None:
    vendor.faults.order(Fault("status", 402, path="/v1/predictions"))
    with pytest.raises(ReplicateError) as caught:
        client.predictions.create(version=VERSION, input={"file": "x"})
    assert (caught.value.status, caught.value.title) == (402, "Insufficient credit")


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        ({"version": "0" * 64, "input": {"file": "x"}}, "Invalid version"),
        ({"version": VERSION}, "input"),
        ({"version": VERSION, "input": {}}, "exactly one"),
        ({"version": VERSION, "input": {"file": "x", "file_url": "y"}}, "exactly one"),
        ({"version": VERSION, "input": {"file": "x", "language": "auto"}}, "auto"),
        ({"version": VERSION, "input": {"file": "x", "num_speakers": 51}}, "between 1 and 50"),
        ({"version": VERSION, "input": {"file": "x"}, "webhook": "http://example.org/hook"}, "HTTPS"),
    ],
)
def test_what_is_refused_says_why(api: httpx.Client, body: dict[str, Any], reason: str) -> None:
    answer = api.post("/v1/predictions", json=body)
    assert answer.status_code == 422
    assert answer.json().keys() == {"title", "detail", "status"}
    assert reason in answer.json()["detail"]


def test_a_wrong_token_and_a_file_without_content_are_refused(api: httpx.Client) -> None:
    assert api.get("/v1/files", headers={"Authorization": "Bearer wrong"}).status_code == 401
    assert api.post("/v1/files", files={"file": b"x"}).status_code == 422


def test_data_is_removed_after_a_while(client: replicate.Client, api: httpx.Client, vendor: ReplicateVendor) -> None:
    client.run(REFERENCE, input={"file": sound()})
    vendor.jobs.retention_s = 0.0
    (prediction,) = api.get("/v1/predictions").json()["results"]
    assert (prediction["status"], prediction["output"], prediction["data_removed"]) == ("succeeded", None, True)


def test_the_webhook_is_signed_as_the_sdk_and_we_check_it(client: replicate.Client) -> None:
    received: list[tuple[dict[str, str], bytes]] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            received.append((dict(self.headers), self.rfile.read(int(self.headers["Content-Length"]))))
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        file = client.files.create(sound())
        prediction = client.predictions.create(
            version=VERSION,
            input={"file": file.urls["get"]},
            webhook=f"http://127.0.0.1:{server.server_port}/hook",
            webhook_events_filter=["completed"],
        )
        deadline_s = time.monotonic() + 10
        while not received:
            assert time.monotonic() < deadline_s, "no webhook came"
            time.sleep(0.01)
        server.shutdown()
        thread.join()
    headers, body = received[0]
    secret = client.webhooks.default.secret()
    Webhooks.validate(headers=headers, body=body.decode(), secret=secret, tolerance=300)
    delivery = verify_replicate(secret.key, headers, body, datetime.now(UTC), 300.0)
    assert (delivery.remote_id, delivery.status) == (prediction.id, "succeeded")
    assert delivery.delivery_id == headers["webhook-id"]


@pytest.mark.models
def test_it_hears_the_words_and_speakers_of_the_sample() -> None:
    vendor = ReplicateVendor(listening=LocalListening())
    with serve(vendor.app) as served:
        client = replicate.Client(API_TOKEN, base_url=served.url)
        with SAMPLE.open("rb") as audio:
            output: Any = client.run(REFERENCE, input={"file": audio, "num_speakers": 3}, use_file_output=False)
    vendor.close()
    speakers = {segment["speaker"] for segment in output["segments"]} - {"UNKNOWN"}
    assert speakers == {"SPEAKER_00", "SPEAKER_01", "SPEAKER_02"}
    assert 200 < sum(len(segment["words"]) for segment in output["segments"]) < 300
