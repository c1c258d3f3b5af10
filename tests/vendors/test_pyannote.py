"""The loopback pyannote.ai, asked by its own SDK; its webhooks; and what it refuses."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
import soundfile
from pyannoteai.sdk import Client
from pyannoteai.sdk.client import PyannoteAICanceledJob, PyannoteAIFailedJob
from requests import HTTPError

from erni.errors import SignatureInvalid
from erni.model import SAMPLE_RATE_HZ
from erni.signatures import Delivery, verify_pyannote
from vendors.listening import LocalListening, ScriptedListening
from vendors.pyannote import API_KEY, WEBHOOK_SECRET, PyannoteVendor
from vendors.server import serve

SAMPLE = Path(__file__).parents[2] / "samples" / "standup.flac"
VOICE = {"label": "Sam", "voiceprint": "AAAA"}

# The SDK advises to use storage of one's own, and webhooks.
pytestmark = [
    pytest.mark.filterwarnings("ignore:\\s*You are using pyannoteAI's temporary storage"),
    pytest.mark.filterwarnings("ignore:\\s*You are using periodic polling"),
]


@pytest.fixture
def vendor() -> Iterator[PyannoteVendor]:
    vendor = PyannoteVendor(listening=ScriptedListening())
    yield vendor
    vendor.close()


@pytest.fixture
def url(vendor: PyannoteVendor) -> Iterator[str]:
    with serve(vendor.app) as served:
        yield served.url


@pytest.fixture
def client(url: str) -> Client:
    return connect(url)


@pytest.fixture
def api(url: str) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=url, headers={"Authorization": f"Bearer {API_KEY}"}, trust_env=False) as client:
        yield client


@pytest.fixture
def audio(tmp_path: Path) -> Path:
    path = tmp_path / "audio.flac"
    samples = np.random.default_rng(0).normal(0, 500, 13 * SAMPLE_RATE_HZ).astype(np.int16)
    soundfile.write(path, samples, SAMPLE_RATE_HZ)
    return path


def connect(url: str, key: str = API_KEY) -> Client:
    class LoopbackClient(Client):
        API_URL = f"{url}/v1"

    return LoopbackClient(key)


class Receiver:
    """Whoever is called back: keeps what came, and answers with the statuses given, then 200."""

    def __init__(self, *statuses: int) -> None:
        self.statuses = list(statuses)
        self.received: list[tuple[dict[str, str], bytes]] = []

    def __enter__(self) -> Receiver:
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                receiver.received.append((dict(self.headers), body))
                self.send_response(receiver.statuses.pop(0) if receiver.statuses else 200)
                self.end_headers()

            def log_message(self, *_: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.01})
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_port}/hook?piece=diarize.0"

    def wait_for(self, count: int) -> list[tuple[dict[str, str], bytes]]:
        deadline_s = time.monotonic() + 10
        while len(self.received) < count:
            assert time.monotonic() < deadline_s, f"{len(self.received)} webhooks came, not {count}"
            time.sleep(0.01)
        return self.received


def test_the_sdk_gets_a_diarization(client: Client, audio: Path, vendor: PyannoteVendor) -> None:
    job = client.retrieve(client.diarize(client.upload(audio), num_speakers=2, exclusive=True), every_seconds=0)
    assert job["status"] == "succeeded"
    expected = [
        {"speaker": "SPEAKER_00", "start": 0.0, "end": 6.0},
        {"speaker": "SPEAKER_01", "start": 6.0, "end": 12.0},
        {"speaker": "SPEAKER_00", "start": 12.0, "end": 13.0},
    ]
    assert job["output"] == {"diarization": expected, "exclusiveDiarization": expected}
    assert vendor.faults.billed[0].audio_s == 20.0, "the least that is billed"


def test_the_sdk_gets_a_voiceprint_and_finds_it_again(client: Client, audio: Path) -> None:
    media = client.upload(audio, "media://test/a-b_c.flac")
    voiceprint = client.retrieve(client.voiceprint(media), every_seconds=0)["output"]["voiceprint"]
    job = client.retrieve(client.identify(media, {"Sam": voiceprint}), every_seconds=0)
    first = {row["speaker"]: row for row in job["output"]["voiceprints"]}
    assert set(first) == {"SPEAKER_00", "SPEAKER_01"}
    assert [row["match"] for row in first.values()].count("Sam") == 1, "one speaker for one voiceprint"
    names = {row["diarizationSpeaker"]: row["speaker"] for row in job["output"]["identification"]}
    assert sorted(names.values()) == sorted(["Sam", next(s for s, row in first.items() if row["match"] is None)])


def test_a_threshold_of_100_matches_nobody(client: Client, audio: Path) -> None:
    media = client.upload(audio)
    voiceprint = client.retrieve(client.voiceprint(media), every_seconds=0)["output"]["voiceprint"]
    job = client.retrieve(client.identify(media, {"Sam": voiceprint}, matching_threshold=100), every_seconds=0)
    assert {row["match"] for row in job["output"]["voiceprints"]} == {None}


def test_the_sdk_is_refused_with_a_wrong_key(url: str) -> None:
    with pytest.raises(HTTPError, match="Failed to authenticate"):
        connect(url, "wrong")


def test_the_sdk_sees_failed_and_cancelled_jobs(client: Client, audio: Path, vendor: PyannoteVendor) -> None:
    with pytest.raises(PyannoteAIFailedJob, match="Could not load audio"):
        client.retrieve(client.diarize("media://nothing/here.wav"), every_seconds=0)
    media = client.upload(audio)
    vendor.jobs.order_end("canceled", "by hand")
    with pytest.raises(PyannoteAICanceledJob, match="by hand"):
        client.retrieve(client.diarize(media), every_seconds=0)
    assert vendor.faults.billed == (), "failed jobs are free"


@pytest.mark.parametrize(
    ("path", "body", "field"),
    [
        ("diarize", {}, "url"),
        ("diarize", {"url": "http://host/a.wav"}, "url"),
        ("diarize", {"url": "media://a b"}, "url"),
        ("diarize", {"url": "media://a", "model": "precision-1"}, "model"),
        ("diarize", {"url": "media://a", "numSpeakers": 0}, "numSpeakers"),
        ("diarize", {"url": "media://a", "minSpeakers": "2"}, "minSpeakers"),
        ("diarize", {"url": "media://a", "exclusive": "yes"}, "exclusive"),
        ("diarize", {"url": "media://a", "transcription": True}, "transcription"),
        ("diarize", {"url": "media://a", "webhook": "http://example.org/hook"}, "webhook"),
        ("identify", {"url": "media://a", "voiceprintIds": ["x"]}, "voiceprints"),
        ("identify", {"url": "media://a", "voiceprints": [VOICE] * 51}, "voiceprints"),
        ("identify", {"url": "media://a", "voiceprints": [{**VOICE, "label": "SPEAKER_1"}]}, "voiceprints.0.label"),
        ("identify", {"url": "media://a", "model": "community-1", "voiceprints": [VOICE]}, "model"),
        (
            "identify",
            {"url": "media://a", "voiceprints": [VOICE], "matching": {"threshold": 101}},
            "matching.threshold",
        ),
        ("media/input", {"url": "https://host/a.wav"}, "url"),
    ],
)
def test_what_is_refused_names_the_field(api: httpx.Client, path: str, body: dict[str, Any], field: str) -> None:
    answer = api.post(f"/v1/{path}", json=body)
    assert answer.status_code == 400
    assert answer.json()["message"] == "Invalid request"
    assert [error["field"] for error in answer.json()["errors"]] == [field]


def test_a_body_that_is_no_object_is_refused(api: httpx.Client) -> None:
    assert api.post("/v1/diarize", content=b"[]", headers={"Content-Type": "application/json"}).status_code == 400


def test_a_presigned_address_wants_no_key(api: httpx.Client, url: str) -> None:
    address = api.post("/v1/media/input", json={"url": "media://a"}).json()["url"]
    assert api.put(address, content=b"x" * 1_000_000).status_code == 400
    assert httpx.put(address, content=b"x", trust_env=False).status_code == 200
    assert httpx.put(f"{url}/uploads/unknown", content=b"x" * 1_000_000, trust_env=False).status_code == 403


def test_answers_are_deleted_and_jobs_stay(
    client: Client, api: httpx.Client, audio: Path, vendor: PyannoteVendor
) -> None:
    job_id = client.diarize(client.upload(audio))
    client.retrieve(job_id, every_seconds=0)
    vendor.jobs.retention_s = 0.0
    job = api.get(f"/v1/jobs/{job_id}").json()
    assert job["status"] == "succeeded"
    assert "output" not in job


def test_jobs_are_listed_page_by_page_with_nothing_of_ours(client: Client, api: httpx.Client, audio: Path) -> None:
    media = client.upload(audio)
    made = [client.diarize(media) for _ in range(3)]
    page = api.get("/v2/jobs", params={"limit": 2}).json()
    assert [item["id"] for item in page["items"]] == [made[2], made[1]]
    assert set(page["items"][0]) == {"id", "status", "createdAt"}
    rest = api.get("/v2/jobs", params={"cursor": page["nextCursor"]}).json()
    assert ([item["id"] for item in rest["items"]], rest["nextCursor"]) == ([made[0]], None)


def verify(received: tuple[dict[str, str], bytes]) -> Delivery:
    return verify_pyannote(WEBHOOK_SECRET, received[0], received[1], datetime.now(UTC), 300.0)


@pytest.mark.parametrize("encoding", ["hex", "base64"])
def test_the_webhook_is_signed_and_names_the_job(
    client: Client, audio: Path, vendor: PyannoteVendor, encoding: Any
) -> None:
    vendor.signature_encoding = encoding
    with Receiver() as receiver:
        job_id = client.diarize(client.upload(audio), webhook=receiver.url)
        (received,) = receiver.wait_for(1)
    assert verify(received) == Delivery(f"{job_id}:succeeded", job_id, "succeeded")
    assert "diarization" in json.loads(received[1])["output"]
    with pytest.raises(SignatureInvalid):
        verify((received[0], received[1] + b" "))


def test_a_webhook_of_the_state_only_has_no_output(client: Client, audio: Path) -> None:
    with Receiver() as receiver:
        client.diarize(client.upload(audio), webhook=receiver.url, webhookStatusOnly=True)
        (received,) = receiver.wait_for(1)
    assert json.loads(received[1]).keys() == {"jobId", "status"}


def test_a_webhook_that_is_not_taken_comes_again(client: Client, audio: Path, vendor: PyannoteVendor) -> None:
    vendor.webhooks.retry_delays_s = (0.0, 0.05, 0.05)
    with Receiver(500, 503) as receiver:
        client.diarize(client.upload(audio), webhook=receiver.url)
        first, second, third = receiver.wait_for(3)
    assert "x-retry-num" not in first[0]
    assert [(h["x-retry-num"], h["x-retry-reason"]) for h, _ in (second, third)] == [
        ("1", "http_error"),
        ("2", "http_error"),
    ]
    assert len({verify(one).delivery_id for one in (first, second, third)}) == 1


def test_a_lost_webhook_never_comes(client: Client, audio: Path, vendor: PyannoteVendor) -> None:
    vendor.webhooks.is_losing = True
    with Receiver() as receiver:
        client.retrieve(client.diarize(client.upload(audio), webhook=receiver.url), every_seconds=0)
        time.sleep(0.1)
        assert receiver.received == []
    assert vendor.webhooks.sent == ()


@pytest.mark.models
def test_it_tells_the_speakers_of_the_sample_apart_and_knows_their_voices(tmp_path: Path) -> None:
    vendor = PyannoteVendor(listening=LocalListening())
    samples, rate = soundfile.read(SAMPLE, dtype="int16")
    with serve(vendor.app) as served:
        client = connect(served.url)
        media = client.upload(SAMPLE)
        turns = client.retrieve(client.diarize(media), every_seconds=1)["output"]["diarization"]
        speakers = sorted({turn["speaker"] for turn in turns})
        assert len(speakers) == 3
        voiceprints = {}
        for speaker in speakers[:2]:
            own = [samples[int(t["start"] * rate) : int(t["end"] * rate)] for t in turns if t["speaker"] == speaker]
            clip = tmp_path / f"{speaker}.flac"
            soundfile.write(clip, np.concatenate(own)[: 15 * rate], rate)
            made = client.retrieve(client.voiceprint(client.upload(clip)), every_seconds=1)
            voiceprints[f"voice of {speaker}"] = made["output"]["voiceprint"]
        job = client.retrieve(client.identify(media, voiceprints, matching_threshold=60), every_seconds=1)
    vendor.close()
    matches = {row["speaker"]: row["match"] for row in job["output"]["voiceprints"]}
    assert matches == {
        speakers[0]: f"voice of {speakers[0]}",
        speakers[1]: f"voice of {speakers[1]}",
        speakers[2]: None,
    }
