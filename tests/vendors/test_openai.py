"""The loopback OpenAI, asked by OpenAI's own client: whatever it answers, the official SDK can read."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import openai
import pytest
import soundfile

from erni.model import SAMPLE_RATE_HZ, Diarization, Recognition
from erni.voices import Voices
from vendors.faults import Fault
from vendors.listening import LocalListening, ScriptedListening
from vendors.openai import API_KEY, OpenAIVendor
from vendors.openai_models import MAX_CONTENT_BYTES, MODELS
from vendors.openai_servers import TEXT_MODEL, WHISPER_MODEL
from vendors.server import serve

CLIP_S = 13.0


@pytest.fixture
def vendor() -> OpenAIVendor:
    return OpenAIVendor(ScriptedListening())


@pytest.fixture
def client(vendor: OpenAIVendor) -> Iterator[openai.OpenAI]:
    with (
        serve(vendor.app) as served,
        openai.OpenAI(api_key=API_KEY, base_url=f"{served.url}/v1", max_retries=0) as client,
    ):
        yield client


def sound(duration_s: float = CLIP_S) -> tuple[str, bytes, str]:
    """A named file of noise, small where it is long."""
    noise = np.random.default_rng(0).integers(-200, 200, round(duration_s * SAMPLE_RATE_HZ), dtype=np.int16)
    if duration_s > 60:
        noise[:] = 0
    return "clip.flac", encode(noise, "FLAC"), "audio/flac"


def encode(samples: npt.NDArray[np.int16], audio_format: str) -> bytes:
    written = io.BytesIO()
    soundfile.write(written, samples, SAMPLE_RATE_HZ, format=audio_format)
    return written.getvalue()


def ask(client: openai.OpenAI, **fields: Any) -> Any:
    fields.setdefault("file", sound())
    return client.audio.transcriptions.create(**fields)


@pytest.mark.parametrize("model", MODELS)
def test_the_official_client_reads_each_models_json(client: openai.OpenAI, model: str) -> None:
    answer = ask(client, model=model, response_format="json")
    assert isinstance(answer, openai.types.audio.Transcription)
    assert len(answer.text.split()) == 32
    assert answer.usage is not None
    assert answer.usage.type == MODELS[model].usage


def test_whisper_answers_with_words_and_segments_that_agree(client: openai.OpenAI) -> None:
    answer = ask(client, model="whisper-1", response_format="verbose_json", timestamp_granularities=["word", "segment"])
    assert isinstance(answer, openai.types.audio.TranscriptionVerbose)
    assert answer.language == "english"
    assert answer.duration == CLIP_S
    assert answer.words is not None
    assert answer.segments is not None
    assert " ".join(segment.text.strip() for segment in answer.segments) == answer.text
    assert [word.word for word in answer.words] == answer.text.split()
    assert all(isinstance(segment.avg_logprob, float) for segment in answer.segments)


def test_whisper_answers_without_segments_when_only_words_were_asked_for(client: openai.OpenAI) -> None:
    answer = ask(client, model="whisper-1", response_format="verbose_json", timestamp_granularities=["word"])
    assert answer.words
    assert answer.segments is None


def test_the_diarizing_model_names_speakers_by_letters(client: openai.OpenAI) -> None:
    answer = ask(client, model="gpt-4o-transcribe-diarize", response_format="diarized_json")
    assert isinstance(answer, openai.types.audio.TranscriptionDiarized)
    assert [segment.speaker for segment in answer.segments] == ["A", "B", "A"]
    assert answer.segments[0].type == "transcript.text.segment"
    assert answer.text.startswith("A: ")


@pytest.mark.parametrize(("style", "beginning"), [("text", ""), ("srt", "1\n00:00:00,000 --> "), ("vtt", "WEBVTT\n\n")])
def test_text_formats_come_as_text(client: openai.OpenAI, style: str, beginning: str) -> None:
    answer = ask(client, model="whisper-1", response_format=style)
    assert isinstance(answer, str)
    assert answer.startswith(beginning)


def test_the_newest_model_takes_keywords_and_languages(client: openai.OpenAI, vendor: OpenAIVendor) -> None:
    answer = ask(client, model="gpt-transcribe", keywords=["Erni", "Celery"], languages=["de"])
    assert [language.code for language in answer.languages or []] == ["de"]
    assert vendor.forms[-1].fields["keywords[]"] == ["Erni", "Celery"]


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"model": "gpt-4o-transcribe", "response_format": "verbose_json"}, "response_format"),
        ({"model": "gpt-transcribe", "response_format": "verbose_json"}, "response_format"),
        ({"model": "whisper-1", "response_format": "diarized_json"}, "response_format"),
        ({"model": "whisper-1", "timestamp_granularities": ["word"]}, "timestamp_granularities"),
        ({"model": "gpt-4o-transcribe-diarize", "prompt": "names"}, "prompt"),
        ({"model": "whisper-1", "keywords": ["Erni"]}, "keywords[]"),
        ({"model": "gpt-transcribe", "keywords": ["two\nlines"]}, "keywords"),
        ({"model": "gpt-transcribe", "language": "de", "languages": ["de"]}, "languages"),
        ({"model": "whisper-1", "language": "auto"}, "language"),
        ({"model": "gpt-4o-transcribe-diarize", "file": sound(31.0)}, "chunking_strategy"),
    ],
)
def test_what_a_model_cannot_do_is_refused(client: openai.OpenAI, fields: dict[str, Any], param: str) -> None:
    with pytest.raises(openai.BadRequestError) as refused:
        ask(client, **fields)
    assert (refused.value.type, refused.value.param) == ("invalid_request_error", param)


def test_more_than_1400_seconds_are_refused_by_the_newer_models_only(client: openai.OpenAI) -> None:
    long = sound(1401.0)
    with pytest.raises(openai.BadRequestError, match="longer than 1400 seconds"):
        ask(client, model="gpt-4o-transcribe", file=long)
    assert ask(client, model="whisper-1", file=long).text


def test_more_than_25_mib_are_refused_as_a_server_error(client: openai.OpenAI) -> None:
    with pytest.raises(openai.APIStatusError) as refused:
        ask(client, model="whisper-1", file=("a.wav", bytes(MAX_CONTENT_BYTES), "audio/wav"))
    assert (refused.value.status_code, refused.value.type) == (413, "server_error")


@pytest.mark.parametrize("file", [("a.txt", b"no sound", "text/plain"), ("a.flac", b"no sound", "audio/flac")])
def test_what_is_no_sound_is_refused(client: openai.OpenAI, file: tuple[str, bytes, str]) -> None:
    with pytest.raises(openai.BadRequestError):
        ask(client, model="whisper-1", file=file)


def test_a_wrong_key_is_refused(client: openai.OpenAI) -> None:
    with pytest.raises(openai.AuthenticationError) as refused:
        client.with_options(api_key="sk-other").models.list()
    assert refused.value.code == "invalid_api_key"


def test_models_say_when_they_end(client: openai.OpenAI) -> None:
    ends = {model.id: model.shutdown_date for model in client.models.list()}
    assert ends["whisper-1"] == "2027-02-26"
    assert ends["gpt-transcribe"] is None


def test_answers_carry_a_request_id_and_limits(client: openai.OpenAI) -> None:
    raw = client.audio.transcriptions.with_raw_response.create(model="whisper-1", file=sound())
    assert raw.headers["x-request-id"].startswith("req_")
    assert int(raw.headers["x-ratelimit-limit-requests"]) > 0


def test_errors_on_demand_are_the_vendors_own(client: openai.OpenAI, vendor: OpenAIVendor) -> None:
    vendor.faults.order(Fault(status=429, headers={"Retry-After": "7"}))
    vendor.faults.order(Fault(status=429, code="insufficient_quota"))
    with pytest.raises(openai.RateLimitError) as limited:
        ask(client, model="whisper-1")
    assert limited.value.response.headers["Retry-After"] == "7"
    with pytest.raises(openai.RateLimitError) as broke:
        ask(client, model="whisper-1")
    assert (broke.value.type, broke.value.code) == ("insufficient_quota", "insufficient_quota")
    assert vendor.faults.billed == ()


def test_answered_calls_are_billed_once_by_their_length(client: openai.OpenAI, vendor: OpenAIVendor) -> None:
    ask(client, model="whisper-1")
    assert [(call.work, call.audio_s) for call in vendor.faults.billed] == [("transcribe", CLIP_S)]


@pytest.fixture
def ask_server() -> Iterator[Callable[..., Any]]:
    """Asks a server of a kind, the vendor given, for ``verbose_json``."""
    with ExitStack() as stack:

        def ask_it(vendor: OpenAIVendor, **fields: Any) -> Any:
            served = stack.enter_context(serve(vendor.app))
            client = openai.OpenAI(api_key=API_KEY, base_url=f"{served.url}/v1", max_retries=0)
            stack.enter_context(client)
            return ask(client, **{"model": WHISPER_MODEL, "response_format": "verbose_json", **fields})

        yield ask_it


@dataclass
class Overheard:
    """Listens as the script says, and notes the languages it was told."""

    told: list[str | None] = field(default_factory=list)
    script: ScriptedListening = field(default_factory=ScriptedListening)

    def duration_s(self, audio: Path) -> float:
        return self.script.duration_s(audio)

    def transcribe(self, audio: Path, language: str | None = None) -> Recognition:
        self.told.append(language)
        return self.script.transcribe(audio, language)

    def diarize(self, audio: Path, num_speakers: int | None = None) -> Diarization:
        return self.script.diarize(audio, num_speakers)

    def embed(self, audio: Path) -> Voices:
        return self.script.embed(audio)


def test_whisper_cpp_reads_wav_alone_and_takes_it_for_english(ask_server: Callable[..., Any]) -> None:
    listening = Overheard()
    wav = ("a.wav", encode(np.zeros(SAMPLE_RATE_HZ, np.int16), "WAV"), "audio/wav")
    for language in ({}, {"language": "auto"}, {"language": "de"}):
        assert ask_server(OpenAIVendor(listening, kind="whisper.cpp"), file=wav, **language).segments
    assert listening.told == ["en", None, "de"]
    with pytest.raises(openai.BadRequestError) as refused:
        ask_server(OpenAIVendor(listening, kind="whisper.cpp"), file=sound())
    assert refused.value.body == "Invalid request"


def test_whisper_cpp_answers_at_inference_unless_told_otherwise(ask_server: Callable[..., Any]) -> None:
    with pytest.raises(openai.NotFoundError) as refused:
        ask_server(OpenAIVendor(ScriptedListening(), kind="whisper.cpp", path="/inference"))
    assert refused.value.body == "File Not Found"


def test_speaches_has_the_models_installed_there_alone(ask_server: Callable[..., Any]) -> None:
    with pytest.raises(openai.NotFoundError) as refused:
        ask_server(OpenAIVendor(ScriptedListening(), kind="speaches", installed=()))
    assert "not installed locally" in str(refused.value.body)
    with serve(OpenAIVendor(ScriptedListening(), kind="speaches", installed=("one",)).app) as served:
        client = openai.OpenAI(api_key=API_KEY, base_url=f"{served.url}/v1", max_retries=0)
        assert [model.id for model in client.models.list()] == ["one"]


def test_speaches_falls_over_a_format_its_text_models_do_not_have(ask_server: Callable[..., Any]) -> None:
    vendor = OpenAIVendor(ScriptedListening(), kind="speaches")
    with pytest.raises(openai.InternalServerError):
        ask_server(vendor, model=TEXT_MODEL)
    assert vendor.faults.billed == ()
    assert ask_server(vendor, model=TEXT_MODEL, response_format="json").text


def test_speaches_cannot_decode_what_is_no_sound(ask_server: Callable[..., Any]) -> None:
    with pytest.raises(openai.APIStatusError) as refused:
        ask_server(OpenAIVendor(ScriptedListening(), kind="speaches"), file=("a.flac", b"no sound", "audio/flac"))
    assert refused.value.status_code == 415


@pytest.mark.models
def test_the_same_client_finds_its_words_for_real() -> None:
    sample = Path(__file__).parents[2] / "samples" / "standup.flac"
    with serve(OpenAIVendor(LocalListening()).app) as served:
        client = openai.OpenAI(api_key=API_KEY, base_url=f"{served.url}/v1", max_retries=0)
        answer = ask(client, model="whisper-1", file=("standup.flac", sample.read_bytes(), "audio/flac"))
    assert "good morning" in answer.text.lower()
