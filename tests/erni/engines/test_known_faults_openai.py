"""The predecessor's faults with OpenAI, by their numbers in the list of seventeen: each cannot happen here."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import soundfile

from config.engines import build_transcribers
from config.settings import load_settings
from erni.catalogue import load_catalogue
from erni.chunking import ChunkLimits, plan_chunks
from erni.engine_ports import TranscriptionRequest
from erni.engines.openai_connection import OpenAIConnection
from erni.engines.openai_transcriber import OpenAITranscriber, openai_transcribers
from erni.engines.uploads import Uploads
from erni.errors import EngineError, EngineRateLimited, EngineUnavailable
from erni.model import SAMPLE_RATE_HZ, Span
from erni.steps.reusing import fit_limits
from vendors.faults import Fault
from vendors.listening import ScriptedListening
from vendors.openai import API_KEY, OpenAIVendor
from vendors.openai_models import MAX_CONTENT_BYTES, MAX_DURATION_S, MODELS
from vendors.server import serve

CATALOGUE = load_catalogue(None, 1.0)
CLIP_S = 8.0
LONG_S = 8 * 3600.0
ENDLESS_CHUNKS = ChunkLimits(target_s=LONG_S, max_s=LONG_S, overlap_s=2.0, min_silence_s=0.2)


@pytest.fixture
def vendor() -> OpenAIVendor:
    return OpenAIVendor(ScriptedListening())


@pytest.fixture
def engines(vendor: OpenAIVendor) -> Iterator[dict[str, OpenAITranscriber]]:
    with serve(vendor.app) as served:
        connection = OpenAIConnection("OpenAI", f"{served.url}/v1", API_KEY, timeout_s=30.0)
        yield openai_transcribers(connection, CATALOGUE, Uploads())


def noise(tmp_path: Path, duration_s: float) -> TranscriptionRequest:
    """White noise at full scale: nothing compresses worse."""
    samples = np.random.default_rng(0).integers(-32768, 32767, round(duration_s * SAMPLE_RATE_HZ), dtype=np.int16)
    path = tmp_path / "noise.flac"
    soundfile.write(path, samples, SAMPLE_RATE_HZ)
    return TranscriptionRequest(path, duration_s, None, None, lambda: None)


def test_fault_8_the_configured_address_is_the_one_asked(
    vendor: OpenAIVendor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """From the environment on, with the SDK's own variables leading elsewhere."""
    for name in ("OPENAI_API_URL", "OPENAI_BASE_URL"):
        monkeypatch.setenv(name, "http://127.0.0.1:1/v1")
    monkeypatch.setenv("OPENAI_API_KEY", "sk-another")
    with serve(vendor.app) as served:
        monkeypatch.setenv("ERNI_OPENAI__BASE_URL", f"{served.url}/v1")
        monkeypatch.setenv("ERNI_OPENAI__API_KEY", API_KEY)
        monkeypatch.setenv("ERNI_DATA_DIR", str(tmp_path / "data"))
        settings = load_settings()
        settings.temporary_dir.mkdir(parents=True)
        build_transcribers(settings)["openai/whisper-1"].transcribe(noise(tmp_path, CLIP_S))
    assert [received.status for received in vendor.faults.received] == [200]


def test_fault_11_the_limits_kept_are_the_vendors_seconds() -> None:
    kept = {row.model: row.max_seconds for row in CATALOGUE.of("openai", "transcriber")}
    limited = {name: model.max_duration_s for name, model in MODELS.items() if model.max_duration_s is not None}
    assert limited == dict.fromkeys(
        ("gpt-4o-transcribe", "gpt-4o-mini-transcribe", "gpt-4o-transcribe-diarize"), MAX_DURATION_S
    )
    assert {model: kept[model] for model in limited} == limited


@pytest.mark.parametrize("model", MODELS)
def test_fault_11_every_chunk_of_a_long_recording_is_within_its_models_limits(
    engines: dict[str, OpenAITranscriber], vendor: OpenAIVendor, tmp_path: Path, model: str
) -> None:
    """However long chunks the operator asks for, and although nobody makes a pause."""
    engine = engines[f"openai/{model}"]
    limits = fit_limits(ENDLESS_CHUNKS, [engine.capabilities])
    plan = plan_chunks(LONG_S, [Span(0.0, LONG_S)], limits)
    assert sum(chunk.own.duration_s for chunk in plan.chunks) == pytest.approx(LONG_S)
    sample_s = 60.0
    engine.transcribe(noise(tmp_path, sample_s))
    bytes_per_s = int(vendor.faults.received[0].headers["content-length"]) / sample_s
    for chunk in plan.chunks:
        assert chunk.audio.duration_s <= (MODELS[model].max_duration_s or LONG_S)
        assert chunk.audio.duration_s * bytes_per_s < MAX_CONTENT_BYTES


@pytest.mark.parametrize(
    ("fault", "expected"),
    [(Fault(status=429), EngineRateLimited), (Fault(status=502), EngineUnavailable), (Fault("cut"), EngineUnavailable)],
)
def test_fault_12_a_failed_call_is_one_upload_and_can_be_tried_again(
    engines: dict[str, OpenAITranscriber],
    vendor: OpenAIVendor,
    tmp_path: Path,
    fault: Fault,
    expected: type[EngineError],
) -> None:
    vendor.faults.order(fault)
    with pytest.raises(expected) as raised:
        engines["openai/whisper-1"].transcribe(noise(tmp_path, CLIP_S))
    assert raised.value.retryable
    assert len(vendor.faults.received) == 1


def test_fault_13_an_answer_without_times_is_spread_over_the_chunk(
    engines: dict[str, OpenAITranscriber], tmp_path: Path
) -> None:
    words = engines["openai/gpt-4o-transcribe"].transcribe(noise(tmp_path, CLIP_S)).words
    assert len(words) == 20
    assert words[-1].end_s == CLIP_S
    assert all(word.start_s < word.end_s and word.timing == "estimated" for word in words)


def test_fault_14_prices_are_per_minute_and_the_small_model_costs_half() -> None:
    prices = {row.model: row.transcriber("a").price(600.0) for row in CATALOGUE.of("openai", "transcriber")}
    assert prices["whisper-1"] == pytest.approx(0.06)
    assert prices["gpt-4o-mini-transcribe"] == pytest.approx(prices["whisper-1"] / 2)
    assert prices["gpt-4o-transcribe"] == pytest.approx(prices["whisper-1"])
    assert prices["gpt-transcribe"] == pytest.approx(0.045)


def test_fault_16_an_unknown_language_is_never_sent_as_auto(
    engines: dict[str, OpenAITranscriber], vendor: OpenAIVendor, tmp_path: Path
) -> None:
    request = noise(tmp_path, CLIP_S)
    for engine in engines.values():
        engine.transcribe(request)
    assert len(vendor.forms) == len(engines)
    assert all(not {"language", "languages[]"} & form.fields.keys() for form in vendor.forms)


def test_fault_16_the_limits_kept_are_the_accounts_not_three_a_minute() -> None:
    limits = {row.requests_per_minute for row in CATALOGUE.of("openai", "transcriber")}
    assert limits == {500}
