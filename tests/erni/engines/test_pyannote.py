"""pyannote.ai's engines against its stand-in: each step of a job, and each way one goes wrong."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile

from erni.catalogue import load_catalogue
from erni.engine_ports import DiarizationRequest, RemoteDiarizer, RemoteVoice
from erni.engines.pyannote import PyannoteDiarizer, PyannoteVoiceprints, build_body
from erni.engines.pyannote_connection import PyannoteConnection
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
    RemoteJobLost,
    StorageError,
    UnreadableMedia,
)
from erni.model import SAMPLE_RATE_HZ, Diarization, Turn
from vendors.faults import Fault
from vendors.listening import ScriptedListening
from vendors.pyannote import API_KEY, PyannoteVendor
from vendors.server import serve

CAPABILITIES = load_catalogue(None, 1.16).find("pyannote", "precision-2").diarizer("pyannote:test")
MAKER = load_catalogue(None, 1.16).find("pyannote", "precision-2").voiceprint_maker("pyannote:test")
VOICE = RemoteVoice("voice-1", "AAAA")


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
    return PyannoteDiarizer(connection, CAPABILITIES)


@pytest.fixture
def audio(tmp_path: Path) -> Path:
    return write_audio(tmp_path / "canonical.flac", 13.0)


def write_audio(path: Path, duration_s: float) -> Path:
    samples = np.random.default_rng(0).normal(0, 500, int(duration_s * SAMPLE_RATE_HZ)).astype(np.int16)
    soundfile.write(path, samples, SAMPLE_RATE_HZ)
    return path


def go_on() -> None:
    """A checkpoint that never stops."""


def request_for(audio: Path, **changes: object) -> DiarizationRequest:
    return replace(DiarizationRequest(audio, (), None, None, None, go_on, "k1"), **changes)


def wait_for(collect: Callable[[str], object], remote_id: str) -> object:
    deadline_s = time.monotonic() + 10
    while (answer := collect(remote_id)) is None:
        assert time.monotonic() < deadline_s, "the job did not end"
        time.sleep(0.02)
    return answer


def test_it_is_what_the_steps_expect_of_a_remote_diarizer(diarizer: PyannoteDiarizer) -> None:
    assert isinstance(diarizer, RemoteDiarizer)


def test_a_recording_comes_back_as_turns(diarizer: PyannoteDiarizer, vendor: PyannoteVendor, audio: Path) -> None:
    answer = wait_for(diarizer.collect, diarizer.submit(request_for(audio), None))
    assert isinstance(answer, Diarization)
    assert (answer.engine, answer.model) == ("pyannote/precision-2", "precision-2")
    assert answer.turns == (
        Turn(0.0, 6.0, "SPEAKER_00"),
        Turn(6.0, 12.0, "SPEAKER_01"),
        Turn(12.0, 13.0, "SPEAKER_00"),
    )
    assert [(billed.work, billed.audio_s) for billed in vendor.faults.billed] == [("diarize", 20.0)]


def test_the_upload_goes_to_the_presigned_address_without_our_key(
    diarizer: PyannoteDiarizer, vendor: PyannoteVendor, audio: Path
) -> None:
    diarizer.submit(request_for(audio), None)
    puts = [received for received in vendor.faults.received if received.method == "PUT"]
    assert [received.status for received in puts] == [200]
    assert "authorization" not in puts[0].headers
    assert puts[0].headers["content-length"] == str(audio.stat().st_size)


def test_no_worker_is_held_while_the_job_runs(diarizer: PyannoteDiarizer, vendor: PyannoteVendor, audio: Path) -> None:
    vendor.jobs.pace_s = 0.3
    remote_id = diarizer.submit(request_for(audio), None)
    started = time.monotonic()
    assert diarizer.collect(remote_id) is None
    assert time.monotonic() - started < 0.25
    wait_for(diarizer.collect, remote_id)


def test_an_exact_count_goes_before_bounds(audio: Path) -> None:
    exact = build_body("media://x", "precision-2", request_for(audio, num_speakers=3, min_speakers=2))
    assert exact == {"url": "media://x", "model": "precision-2", "exclusive": True, "numSpeakers": 3}
    bounds = build_body("media://x", "community-1", request_for(audio, min_speakers=2, max_speakers=4))
    assert bounds == {
        "url": "media://x", "model": "community-1", "exclusive": True, "minSpeakers": 2, "maxSpeakers": 4,
    }  # fmt: skip


def test_known_voices_are_scored(diarizer: PyannoteDiarizer, connection: PyannoteConnection, audio: Path) -> None:
    maker = PyannoteVoiceprints(connection, MAKER)
    voiceprint = wait_for(maker.collect, maker.submit(audio, "v1", None))
    assert isinstance(voiceprint, str)
    voices = (RemoteVoice("voice-1", voiceprint), RemoteVoice("voice-2", voiceprint))
    answer = wait_for(diarizer.collect, diarizer.submit(request_for(audio, known_voices=voices), None))
    assert isinstance(answer, Diarization)
    assert {(score.speaker, score.voice) for score in answer.scores} == {
        ("SPEAKER_00", "voice-1"), ("SPEAKER_00", "voice-2"), ("SPEAKER_01", "voice-1"), ("SPEAKER_01", "voice-2"),
    }  # fmt: skip
    assert all(0.9 < score.score <= 1.0 for score in answer.scores)


@pytest.mark.parametrize(
    "voices",
    [
        tuple(RemoteVoice(f"voice-{number}", "AAAA") for number in range(51)),
        (VOICE, VOICE),
        (RemoteVoice("SPEAKER_01", "AAAA"),),
        (RemoteVoice("", "AAAA"),),
        (RemoteVoice("x" * 101, "AAAA"),),
    ],
    ids=["51", "twice", "reserved", "empty", "long"],
)
def test_voices_it_would_refuse_are_a_fault_of_the_caller(
    diarizer: PyannoteDiarizer, vendor: PyannoteVendor, audio: Path, voices: tuple[RemoteVoice, ...]
) -> None:
    with pytest.raises(ValueError, match=r"voices|label"):
        diarizer.submit(request_for(audio, known_voices=voices), None)
    assert vendor.faults.received == ()


def test_a_model_that_knows_no_voices_is_not_asked_for_them(connection: PyannoteConnection, audio: Path) -> None:
    community = load_catalogue(None, 1.16).find("pyannote", "community-1").diarizer("pyannote:test")
    with pytest.raises(ValueError, match="takes 0"):
        PyannoteDiarizer(connection, community).submit(request_for(audio, known_voices=(VOICE,)), None)


@pytest.mark.parametrize("status", ["failed", "canceled"])
def test_a_job_that_fails_there_is_rejected(
    diarizer: PyannoteDiarizer, vendor: PyannoteVendor, audio: Path, status: str
) -> None:
    vendor.jobs.order_end(status, "Could not load audio")
    with pytest.raises(EngineRejected, match="Could not load audio"):
        wait_for(diarizer.collect, diarizer.submit(request_for(audio), None))


def test_an_answer_that_was_deleted_is_lost(diarizer: PyannoteDiarizer, vendor: PyannoteVendor, audio: Path) -> None:
    remote_id = diarizer.submit(request_for(audio), None)
    wait_for(diarizer.collect, remote_id)
    vendor.jobs.retention_s = 0.0
    with pytest.raises(RemoteJobLost):
        diarizer.collect(remote_id)


def test_a_job_it_does_not_know_is_lost(diarizer: PyannoteDiarizer) -> None:
    with pytest.raises(RemoteJobLost):
        diarizer.collect("3c8a89a5-dcc6-4edb-a75d-ffd64739674d")


@pytest.mark.parametrize("path", ["/v1/media/input", "/v1/diarize"])
@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (400, EngineRejected),
        (401, EngineNotAuthorised),
        (402, EngineQuotaExhausted),
        (403, EngineNotAuthorised),
        (413, EngineRejected),
        (429, EngineRateLimited),
        (500, EngineDown),
        (503, EngineDown),
    ],
)
def test_each_refusal_is_one_error(
    diarizer: PyannoteDiarizer, vendor: PyannoteVendor, audio: Path, path: str, status: int, kind: type[EngineError]
) -> None:
    vendor.faults.order(Fault("status", status, path=path))
    with pytest.raises(EngineError) as caught:
        diarizer.submit(request_for(audio), None)
    assert type(caught.value) is kind
    assert API_KEY not in caught.value.message
    assert len([one for one in vendor.faults.received if one.path == path]) == 1, "one attempt per call"


def test_a_presigned_address_out_of_date_is_worth_another_attempt(
    diarizer: PyannoteDiarizer, vendor: PyannoteVendor, audio: Path
) -> None:
    vendor.faults.order(Fault("status", 403, path="/uploads"))
    with pytest.raises(EngineUnavailable):
        diarizer.submit(request_for(audio), None)


@pytest.mark.parametrize("kind", ["cut", "lost", "torn"])
def test_a_broken_connection_is_an_outage(
    diarizer: PyannoteDiarizer, vendor: PyannoteVendor, audio: Path, kind: str
) -> None:
    vendor.faults.order(Fault(kind, path="/v1/diarize"))  # type: ignore[arg-type]  # one of the kinds above
    with pytest.raises(EngineUnavailable):
        diarizer.submit(request_for(audio), None)


def test_a_lost_answer_cannot_be_found_again(diarizer: PyannoteDiarizer, vendor: PyannoteVendor, audio: Path) -> None:
    vendor.faults.order(Fault("lost", path="/v1/diarize"))
    with pytest.raises(EngineUnavailable):
        diarizer.submit(request_for(audio), None)
    assert len(vendor.jobs.all()) == 1
    assert diarizer.find_submitted("k1") is None


@pytest.mark.parametrize(
    "body", [b"{", b"[]", b"{}", b'{"jobId": 7}', b'{"jobId": "../../x"}', b'{"jobId": "' + b"a" * 65 + b'"}']
)
def test_an_answer_that_names_no_job_is_invalid(
    diarizer: PyannoteDiarizer, vendor: PyannoteVendor, audio: Path, body: bytes
) -> None:
    vendor.faults.order(Fault("garbage", body=body, path="/v1/diarize"))
    with pytest.raises(EngineAnswerInvalid):
        diarizer.submit(request_for(audio), None)


@pytest.mark.parametrize("address", ["", "ftp://host/x", "file:///etc/passwd", "//host", "media://x"])
def test_audio_is_sent_to_web_addresses_only(
    diarizer: PyannoteDiarizer, vendor: PyannoteVendor, audio: Path, address: str
) -> None:
    vendor.faults.order(Fault("garbage", body=f'{{"url": "{address}"}}'.encode(), path="/v1/media"))
    with pytest.raises(EngineAnswerInvalid):
        diarizer.submit(request_for(audio), None)


def test_a_recording_too_large_even_as_opus_is_rejected(
    connection: PyannoteConnection, vendor: PyannoteVendor, audio: Path
) -> None:
    small = PyannoteDiarizer(connection, replace(CAPABILITIES, max_bytes=1000))
    with pytest.raises(EngineRejected, match="1000 bytes"):
        small.submit(request_for(audio), None)
    assert vendor.faults.received == ()


def test_a_recording_too_large_as_flac_goes_as_opus(
    connection: PyannoteConnection, vendor: PyannoteVendor, audio: Path
) -> None:
    limited = replace(CAPABILITIES, max_bytes=audio.stat().st_size - 1)
    PyannoteDiarizer(connection, limited).submit(request_for(audio), None)
    assert vendor.jobs.all()[0].asked["url"] == "media://erni/k1.ogg"


def test_a_recording_longer_than_it_takes_is_rejected_before_anything_is_sent(
    connection: PyannoteConnection, vendor: PyannoteVendor, audio: Path
) -> None:
    brief = PyannoteDiarizer(connection, replace(CAPABILITIES, max_audio_s=12.5))
    with pytest.raises(EngineRejected, match=r"13 s.* 12\.5 s"):
        brief.submit(request_for(audio), None)
    assert vendor.faults.received == ()


@pytest.mark.parametrize("key", ["", "voice:1/ä", "x" * 300])
def test_any_key_makes_an_address_that_is_taken(
    diarizer: PyannoteDiarizer, vendor: PyannoteVendor, audio: Path, key: str
) -> None:
    first, second = (diarizer.submit(request_for(audio, key=key), None) for _ in range(2))
    assert first != second
    addresses = {job.asked["url"] for job in vendor.jobs.all()}
    assert len(addresses) == (1 if key else 2), "without a key nothing is overwritten"


def test_a_stopped_job_is_not_paid_for(diarizer: PyannoteDiarizer, vendor: PyannoteVendor, audio: Path) -> None:
    def stop() -> None:
        raise JobStopped("cancelled")

    with pytest.raises(JobStopped):
        diarizer.submit(request_for(audio, checkpoint=stop), None)
    assert vendor.jobs.all() == []


def test_audio_that_is_gone_is_a_fault_of_storage(diarizer: PyannoteDiarizer, tmp_path: Path) -> None:
    with pytest.raises(StorageError):
        diarizer.submit(request_for(tmp_path / "gone.flac"), None)


def test_a_voiceprint_takes_thirty_seconds_at_most(
    connection: PyannoteConnection, vendor: PyannoteVendor, tmp_path: Path
) -> None:
    maker = PyannoteVoiceprints(connection, MAKER)
    with pytest.raises(EngineRejected, match="30 s"):
        maker.submit(write_audio(tmp_path / "long.flac", 30.5), "v1", None)
    broken = tmp_path / "broken.flac"
    broken.write_bytes(b"no audio")
    with pytest.raises(UnreadableMedia):
        maker.submit(broken, "v1", None)
    assert vendor.faults.received == ()


def test_the_probe_finds_a_wrong_key_and_costs_nothing(
    diarizer: PyannoteDiarizer, connection: PyannoteConnection, vendor: PyannoteVendor
) -> None:
    diarizer.probe()
    with pytest.raises(EngineNotAuthorised):
        PyannoteDiarizer(replace(connection, api_key="wrong"), CAPABILITIES).probe()
    assert vendor.faults.billed == ()


@pytest.mark.parametrize("key", ["", "two words", "schlüssel", "line\nbreak"])
def test_a_key_that_fits_no_header_is_a_wrong_setting(key: str) -> None:
    with pytest.raises(ConfigError):
        PyannoteConnection(key)


def test_the_key_does_not_show(connection: PyannoteConnection) -> None:
    assert API_KEY not in repr(connection)
