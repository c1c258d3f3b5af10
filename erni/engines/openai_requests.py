"""What OpenAI's transcription is asked with, by what a model can do; and what compatible servers want differently.

Pure. The fields are those of the SDK's ``transcriptions.create``. Source: OpenAI's API reference and the servers' own.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Literal

from erni.capabilities import Timing, TranscriberCapabilities
from erni.engine_ports import TranscriptionRequest

ServerKind = Literal["openai", "speaches", "whisper.cpp", "localai", "vllm"]

LONGEST_SINGLE_BLOCK_S: Final = 30.0
"""A diarizing model wants a chunking strategy for anything longer."""

_FORBIDDEN_IN_KEYWORDS: Final = str.maketrans(dict.fromkeys("<>\r\n", " "))
"""One keyword with one of these fails the whole call."""


@dataclass(frozen=True, slots=True)
class Dialect:
    """Where a server differs from OpenAI.

    ``times`` are the finest that its models usually give. ``any_language`` is what to ask for where the language is not
    known, ``None`` for nothing at all. ``health`` is the path, from the server's root, that answers when it is up;
    without one its list of models is asked for.
    """

    kind: ServerKind = "openai"
    times: Timing = "word"
    upload_format: str = "flac"
    any_language: str | None = None
    keywords_field: str | None = None
    fields: Mapping[str, str] = field(default_factory=dict)
    health: str | None = None
    is_vendor: bool = False
    """Whether it is OpenAI itself, which keeps to its own protocol."""


OPENAI: Final = Dialect(is_vendor=True)

DIALECTS: Final[Mapping[ServerKind, Dialect]] = {
    "openai": Dialect(),
    "speaches": Dialect("speaches", keywords_field="hotwords"),
    # Hears English unless told otherwise, reads WAV without help of ffmpeg, and has no list of models.
    "whisper.cpp": Dialect("whisper.cpp", upload_format="wav", any_language="auto", health="/health"),
    # Would look for speakers as well.
    "localai": Dialect("localai", fields={"diarize": "false"}),
    # Gives no times of words, and refuses verbose_json for many models.
    "vllm": Dialect("vllm", times="none"),
}


def build_form(
    request: TranscriptionRequest, capabilities: TranscriberCapabilities, dialect: Dialect
) -> dict[str, Any]:
    """Everything but the file."""
    form: dict[str, Any] = {"model": capabilities.model, **_shape(request, capabilities.times, dialect)}
    extra: dict[str, Any] = dict(dialect.fields)
    if request.prompt and capabilities.has_prompt:
        form["prompt"] = request.prompt
    keywords = [clean for keyword in request.keywords if (clean := _clean_keyword(keyword))]
    if dialect.keywords_field is not None and keywords:
        extra[dialect.keywords_field] = ", ".join(keywords)
    elif capabilities.has_keywords and keywords:
        form["keywords"] = keywords
    language = request.language or dialect.any_language
    if language is not None:
        form |= _language(language, capabilities, dialect)
    return {**form, "extra_body": extra} if extra else form


def _shape(request: TranscriptionRequest, times: Timing, dialect: Dialect) -> dict[str, Any]:
    """The richest answer a model gives. Words alone may come without segments, so both are asked for. OpenAI itself
    tells segments only together with their speakers.
    """
    if times == "word":
        return {"response_format": "verbose_json", "timestamp_granularities": ["word", "segment"]}
    if times == "none":
        return {"response_format": "json"}
    if not dialect.is_vendor:
        return {"response_format": "verbose_json", "timestamp_granularities": ["segment"]}
    is_long = request.duration_s > LONGEST_SINGLE_BLOCK_S
    return {"response_format": "diarized_json"} | ({"chunking_strategy": "auto"} if is_long else {})


def _language(language: str, capabilities: TranscriberCapabilities, dialect: Dialect) -> dict[str, Any]:
    """The model that takes keywords takes a list of languages in place of one, and refuses both."""
    if dialect.is_vendor and capabilities.has_keywords:
        return {"languages": [language]}
    return {"language": language}


def _clean_keyword(keyword: str) -> str:
    return " ".join(keyword.translate(_FORBIDDEN_IN_KEYWORDS).split())
