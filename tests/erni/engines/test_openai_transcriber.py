"""Every model and every kind of server over real HTTP, from a chunk's file to its words."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from config.engines import build_transcribers
from config.settings import load_settings
from erni.catalogue import Row, load_catalogue
from erni.engine_ports import TranscriptionRequest
from erni.engines.openai_connection import OpenAIConnection
from erni.engines.openai_requests import DIALECTS, ServerKind
from erni.engines.openai_transcriber import (
    OpenAITranscriber,
    ServerTerms,
    openai_transcribers,
    price_usage,
    server_transcriber,
)
from erni.engines.uploads import Uploads
from erni.errors import EngineAnswerInvalid, EngineDown, EngineNotAuthorised, EngineRejected, JobStopped
from erni.model import SAMPLE_RATE_HZ, Recognition
from vendors.faults import Fault
from vendors.listening import LocalListening, ScriptedListening
from vendors.openai import API_KEY, OpenAIVendor
from vendors.openai_servers import TEXT_MODEL
from vendors.server import serve

CATALOGUE = load_catalogue(None, 1.0)
CLIP_S = 13.0
SAMPLE = Path(__file__).parents[3] / "samples" / "standup.flac"


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The first 13 s of the sample."""
    path = tmp_path_factory.mktemp("clip") / "0000.flac"
    samples, _ = soundfile.read(SAMPLE, dtype="int16", stop=int(CLIP_S * SAMPLE_RATE_HZ))
    soundfile.write(path, samples, SAMPLE_RATE_HZ)
    return path


@pytest.fixture
def vendor() -> OpenAIVendor:
    return OpenAIVendor(ScriptedListening())


@pytest.fixture
def engines(vendor: OpenAIVendor) -> Iterator[dict[str, OpenAITranscriber]]:
    with serve(vendor.app) as served:
        connection = OpenAIConnection("OpenAI", f"{served.url}/v1", API_KEY, timeout_s=10.0)
        yield openai_transcribers(connection, CATALOGUE, Uploads())


def request(clip: Path, **changes: Any) -> TranscriptionRequest:
    fields: dict[str, Any] = {"duration_s": CLIP_S, "language": "en", "prompt": None, "checkpoint": lambda: None}
    return TranscriptionRequest(clip, **(fields | changes))


def check_words(found: Recognition) -> None:
    assert len(found.words) == 32
    assert all(0 <= word.start_s <= word.end_s <= CLIP_S for word in found.words)
    assert all(before.start_s <= after.start_s for before, after in pairwise(found.words))


@pytest.mark.parametrize("row", CATALOGUE.of("openai", "transcriber"), ids=lambda row: row.model)
def test_each_model_answers_with_words_in_the_chunk_and_a_bill(
    engines: dict[str, OpenAITranscriber], clip: Path, row: Row
) -> None:
    engine = engines[row.engine]
    found = engine.transcribe(request(clip, prompt="Erni", keywords=("Celery",)))
    check_words(found)
    assert (found.engine, found.model, found.language) == (row.engine, row.model, "en")
    assert {word.timing for word in found.words} == ({"exact"} if row.times == "word" else {"estimated"})
    assert found.bill is not None
    assert found.bill.usage
    assert found.bill.usd == pytest.approx(engine.capabilities.price(CLIP_S), rel=0.6)
    assert all(word.speaker is None for word in found.words)


def test_the_upload_is_opus_with_a_name_that_says_so(
    engines: dict[str, OpenAITranscriber], vendor: OpenAIVendor, clip: Path
) -> None:
    engines["openai/whisper-1"].transcribe(request(clip))
    assert vendor.forms[0].file_name == "audio.ogg"
    assert vendor.forms[0].fields["language"] == ["en"]


def test_segments_keep_their_places(engines: dict[str, OpenAITranscriber], clip: Path) -> None:
    found = engines["openai/gpt-4o-transcribe-diarize"].transcribe(request(clip))
    assert found.words[15].start_s == pytest.approx(6.0, abs=0.4)


def test_a_long_chunk_is_diarized_with_a_strategy(
    engines: dict[str, OpenAITranscriber], vendor: OpenAIVendor, tmp_path: Path
) -> None:
    soundfile.write(tmp_path / "long.flac", np.zeros(31 * SAMPLE_RATE_HZ, np.int16), SAMPLE_RATE_HZ)
    engines["openai/gpt-4o-transcribe-diarize"].transcribe(request(tmp_path / "long.flac", duration_s=31.0))
    assert vendor.forms[0].first("chunking_strategy") == "auto"


def test_the_language_the_vendor_heard_is_told(engines: dict[str, OpenAITranscriber], clip: Path) -> None:
    for model, language in (("whisper-1", "en"), ("gpt-transcribe", "en"), ("gpt-4o-transcribe", None)):
        assert engines[f"openai/{model}"].transcribe(request(clip, language=None)).language == language


def test_beyond_a_models_seconds_no_call_is_made(
    engines: dict[str, OpenAITranscriber], vendor: OpenAIVendor, clip: Path
) -> None:
    with pytest.raises(EngineRejected, match="1400 s"):
        engines["openai/gpt-4o-transcribe"].transcribe(request(clip, duration_s=1401.0))
    assert vendor.faults.received == ()


def test_beyond_a_models_bytes_no_call_is_made(vendor: OpenAIVendor, clip: Path) -> None:
    row = CATALOGUE.find("openai", "whisper-1").model_copy(update={"max_bytes": 1000})
    with serve(vendor.app) as served:
        connection = OpenAIConnection("OpenAI", f"{served.url}/v1", API_KEY)
        (engine,) = openai_transcribers(connection, type(CATALOGUE)((row,)), Uploads()).values()
        with pytest.raises(EngineRejected, match="1000 bytes"):
            engine.transcribe(request(clip))
    assert vendor.faults.received == ()


def test_an_answer_as_long_as_can_be_is_told_of(vendor: OpenAIVendor, clip: Path) -> None:
    row = CATALOGUE.find("openai", "gpt-4o-transcribe").model_copy(update={"max_output_tokens": 42})
    with serve(vendor.app) as served:
        connection = OpenAIConnection("OpenAI", f"{served.url}/v1", API_KEY)
        (engine,) = openai_transcribers(connection, type(CATALOGUE)((row,)), Uploads()).values()
        (notice,) = engine.transcribe(request(clip)).warnings
    assert notice.code == "answer_cut_off"


def test_a_stopped_job_makes_no_call(engines: dict[str, OpenAITranscriber], vendor: OpenAIVendor, clip: Path) -> None:
    def stop() -> None:
        raise JobStopped("cancelled")

    with pytest.raises(JobStopped):
        engines["openai/whisper-1"].transcribe(request(clip, checkpoint=stop))
    assert vendor.faults.received == ()


def test_garbage_is_no_answer(engines: dict[str, OpenAITranscriber], vendor: OpenAIVendor, clip: Path) -> None:
    vendor.faults.order(Fault("garbage"))
    with pytest.raises(EngineAnswerInvalid):
        engines["openai/whisper-1"].transcribe(request(clip))


def test_all_models_share_one_account(engines: dict[str, OpenAITranscriber]) -> None:
    accounts = {engine.capabilities.terms.account for engine in engines.values() if engine.capabilities.terms}
    assert len(accounts) == 1
    assert API_KEY not in accounts.pop()


@pytest.mark.parametrize("kind", DIALECTS)
def test_each_kind_of_server_is_understood(clip: Path, kind: ServerKind) -> None:
    vendor = OpenAIVendor(ScriptedListening(), api_key="own", kind=kind)
    model = "whisper-1" if kind == "openai" else "Systran/faster-whisper-small"
    with serve(vendor.app) as served:
        connection = OpenAIConnection("mine", f"{served.url}/v1", "own", timeout_s=10.0)
        engine = server_transcriber("mine", connection, ServerTerms(model, kind, concurrency=2), Uploads())
        found = engine.transcribe(request(clip, language=None, keywords=("Erni",)))
        engine.probe()
    check_words(found)
    assert found.bill is None
    assert {word.timing for word in found.words} == ({"estimated"} if kind == "vllm" else {"exact"})
    assert found.language == (None if kind == "vllm" else "en")
    assert engine.capabilities.terms is not None
    assert engine.capabilities.terms.concurrency == 2
    assert vendor.forms[0].file_name == ("audio.wav" if kind == "whisper.cpp" else "audio.flac")


def test_a_text_model_of_a_server_whose_others_give_times_is_understood_once_told_so(
    clip: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    vendor = OpenAIVendor(ScriptedListening(), kind="speaches")
    monkeypatch.setenv("ERNI_DATA_DIR", str(tmp_path))
    monkeypatch.setenv("ERNI_SERVERS__MINE__MODEL", TEXT_MODEL)
    monkeypatch.setenv("ERNI_SERVERS__MINE__KIND", "speaches")
    monkeypatch.setenv("ERNI_SERVERS__MINE__API_KEY", API_KEY)
    with serve(vendor.app) as served:
        monkeypatch.setenv("ERNI_SERVERS__MINE__URL", f"{served.url}/v1")
        with pytest.raises(EngineDown):
            build_transcribers(load_settings())["mine"].transcribe(request(clip))
        monkeypatch.setenv("ERNI_SERVERS__MINE__TIMES", "none")
        engine = build_transcribers(load_settings())["mine"]
        found = engine.transcribe(request(clip))
    check_words(found)
    assert engine.capabilities.times == "none"
    assert ({word.timing for word in found.words}, found.places) == ({"estimated"}, ())


def test_a_whisper_cpp_that_answers_elsewhere_is_healthy_and_says_how_to_start_it(clip: Path) -> None:
    vendor = OpenAIVendor(ScriptedListening(), kind="whisper.cpp", path="/inference")
    with serve(vendor.app) as served:
        connection = OpenAIConnection("mine", f"{served.url}/v1", API_KEY, timeout_s=10.0)
        engine = server_transcriber("mine", connection, ServerTerms("m", "whisper.cpp"), Uploads())
        engine.probe()
        with pytest.raises(EngineRejected, match="--inference-path /v1/audio/transcriptions"):
            engine.transcribe(request(clip))


def test_a_server_told_to_give_segments_gives_them(clip: Path) -> None:
    vendor = OpenAIVendor(ScriptedListening(), kind="vllm")
    with serve(vendor.app) as served:
        connection = OpenAIConnection("mine", f"{served.url}/v1", API_KEY, timeout_s=10.0)
        engine = server_transcriber("mine", connection, ServerTerms("m", "vllm", "segment"), Uploads())
        found = engine.transcribe(request(clip))
    check_words(found)
    assert len(set(found.places)) == 3


@pytest.mark.parametrize("kind", DIALECTS)
def test_a_server_that_wants_another_key_says_so(clip: Path, kind: ServerKind) -> None:
    vendor = OpenAIVendor(ScriptedListening(), api_key="own", kind=kind)
    with serve(vendor.app) as served:
        connection = OpenAIConnection("mine", f"{served.url}/v1", timeout_s=10.0)
        engine = server_transcriber("mine", connection, ServerTerms("m", kind), Uploads())
        with pytest.raises(EngineNotAuthorised):
            engine.transcribe(request(clip))


def test_usage_is_priced_by_tokens_seconds_or_length() -> None:
    mini, whisper = CATALOGUE.find("openai", "gpt-4o-mini-transcribe"), CATALOGUE.find("openai", "whisper-1")
    tokens = {"input_tokens": 650.0, "audio_tokens": 600.0, "text_tokens": 50.0, "output_tokens": 200.0}
    by_tokens = price_usage(mini, tokens, 60.0)
    assert by_tokens is not None
    assert by_tokens.usd == pytest.approx((600 * 3 + 50 * 1.25 + 200 * 5) / 1e6)
    by_seconds = price_usage(whisper, {"seconds": 90.0}, 60.0)
    assert by_seconds is not None
    assert by_seconds.usd == pytest.approx(0.009)
    by_length = price_usage(whisper, {"input_tokens": 5.0}, 60.0)
    assert by_length is not None
    assert by_length.usd == pytest.approx(0.006)
    assert price_usage(whisper, {}, 60.0) is None


@pytest.mark.models
def test_a_real_recording_comes_back_as_its_words(clip: Path) -> None:
    with serve(OpenAIVendor(LocalListening()).app) as served:
        connection = OpenAIConnection("OpenAI", f"{served.url}/v1", API_KEY, timeout_s=60.0)
        engines = openai_transcribers(connection, CATALOGUE, Uploads())
        words = engines["openai/whisper-1"].transcribe(request(clip)).words
    text = " ".join(word.text for word in words)
    assert "good morning" in text.lower()
    assert any(word.text.endswith((".", ",")) for word in words)
