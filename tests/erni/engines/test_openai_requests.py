"""The form each model, and each kind of server, is sent."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from erni.capabilities import Timing, TranscriberCapabilities
from erni.catalogue import load_catalogue
from erni.engine_ports import TranscriptionRequest
from erni.engines.openai_requests import DIALECTS, OPENAI, ServerKind, build_form

CATALOGUE = load_catalogue(None, 1.0)


def request(**changes: Any) -> TranscriptionRequest:
    fields: dict[str, Any] = {"language": "de", "prompt": "Erni", "keywords": ("Celery", "Re<d>is\n 7 ", "<>")}
    return TranscriptionRequest(Path("a.flac"), checkpoint=lambda: None, **({"duration_s": 45.0} | fields | changes))


def form_of(model: str, **changes: Any) -> dict[str, Any]:
    return build_form(request(**changes), CATALOGUE.find("openai", model).transcriber("a"), OPENAI)


def test_whisper_is_asked_for_words_and_segments() -> None:
    assert form_of("whisper-1") == {
        "model": "whisper-1",
        "response_format": "verbose_json",
        "timestamp_granularities": ["word", "segment"],
        "prompt": "Erni",
        "language": "de",
    }


@pytest.mark.parametrize("model", ["gpt-4o-transcribe", "gpt-4o-mini-transcribe"])
def test_text_models_are_asked_for_json_alone(model: str) -> None:
    assert form_of(model) == {"model": model, "response_format": "json", "prompt": "Erni", "language": "de"}


def test_the_newest_model_gets_clean_keywords_and_languages_in_a_list() -> None:
    assert form_of("gpt-transcribe") == {
        "model": "gpt-transcribe",
        "response_format": "json",
        "prompt": "Erni",
        "keywords": ["Celery", "Re d is 7"],
        "languages": ["de"],
    }


def test_the_diarizing_model_gets_no_prompt_and_a_strategy_for_long_audio_only() -> None:
    long = {"model": "gpt-4o-transcribe-diarize", "response_format": "diarized_json", "language": "de"}
    assert form_of("gpt-4o-transcribe-diarize", duration_s=30.1) == long | {"chunking_strategy": "auto"}
    assert form_of("gpt-4o-transcribe-diarize", duration_s=30.0) == long


def test_an_unknown_language_is_not_named() -> None:
    for row in CATALOGUE.of("openai", "transcriber"):
        assert not {"language", "languages"} & form_of(row.model, language=None).keys()


@pytest.mark.parametrize(
    ("times", "expected"),
    [
        ("word", {"response_format": "verbose_json", "timestamp_granularities": ["word", "segment"]}),
        ("segment", {"response_format": "verbose_json", "timestamp_granularities": ["segment"]}),
        ("none", {"response_format": "json"}),
    ],
)
@pytest.mark.parametrize("kind", DIALECTS)
def test_any_server_is_asked_for_the_times_its_model_has(
    kind: ServerKind, times: Timing, expected: dict[str, Any]
) -> None:
    capabilities = TranscriberCapabilities("mine", "m", None, times=times)
    form = build_form(request(prompt=None, keywords=()), capabilities, DIALECTS[kind])
    assert {name: form.get(name) for name in expected} == expected
    assert ("timestamp_granularities" in form) == (times != "none")


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        ("openai", {"response_format": "verbose_json", "timestamp_granularities": ["word", "segment"]}),
        (
            "speaches",
            {
                "response_format": "verbose_json",
                "timestamp_granularities": ["word", "segment"],
                "extra_body": {"hotwords": "Celery, Re d is 7"},
            },
        ),
        (
            "whisper.cpp",
            {"response_format": "verbose_json", "timestamp_granularities": ["word", "segment"], "language": "auto"},
        ),
        (
            "localai",
            {
                "response_format": "verbose_json",
                "timestamp_granularities": ["word", "segment"],
                "extra_body": {"diarize": "false"},
            },
        ),
        ("vllm", {"response_format": "json"}),
    ],
)
def test_each_server_is_asked_in_its_own_way(kind: ServerKind, expected: dict[str, Any]) -> None:
    dialect = DIALECTS[kind]
    capabilities = TranscriberCapabilities("mine", "m", None, times=dialect.times)
    form = build_form(request(language=None, prompt=None), capabilities, dialect)
    assert form == {"model": "m"} | expected
