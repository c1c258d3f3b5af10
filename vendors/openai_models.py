"""The models of the loopback OpenAI, and what each refuses, as its reference and its users' error reports have it.

Kept apart from Erni's own catalogue on purpose: each holds the other to account.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, Literal

MAX_CONTENT_BYTES: Final = 26_214_400
MAX_DURATION_S: Final = 1400.0
FILE_FORMATS: Final = ("flac", "m4a", "mp3", "mp4", "mpeg", "mpga", "oga", "ogg", "wav", "webm")
_SHUTDOWN: Final = "2027-02-26"


@dataclass(frozen=True, slots=True)
class Model:
    formats: frozenset[str]
    takes: frozenset[str] = frozenset({"prompt", "language"})
    usage: Literal["tokens", "duration"] = "tokens"
    max_duration_s: float | None = MAX_DURATION_S
    shutdown_date: str | None = _SHUTDOWN


_JSON_TEXT: Final = frozenset({"json", "text"})
MODELS: Final[Mapping[str, Model]] = {
    "gpt-transcribe": Model(
        frozenset({"json"}), frozenset({"prompt", "language", "languages[]", "keywords[]"}), "duration", None, None
    ),
    "whisper-1": Model(
        frozenset({"json", "text", "srt", "verbose_json", "vtt"}),
        frozenset({"prompt", "language", "timestamp_granularities[]"}),
        "duration",
        None,
    ),
    "gpt-4o-transcribe": Model(_JSON_TEXT, frozenset({"prompt", "language", "include[]"})),
    "gpt-4o-mini-transcribe": Model(_JSON_TEXT, frozenset({"prompt", "language", "include[]"})),
    "gpt-4o-transcribe-diarize": Model(
        _JSON_TEXT | {"diarized_json"},
        frozenset({"language", "known_speaker_names[]", "known_speaker_references[]"}),
        "duration",
    ),
}

_OPTIONAL: Final = (
    "prompt",
    "languages[]",
    "keywords[]",
    "timestamp_granularities[]",
    "include[]",
    "known_speaker_names[]",
)
_BAD_KEYWORD: Final = re.compile(r"[<>\r\n]")


@dataclass(frozen=True, slots=True)
class Objection:
    """Why a request is refused, as the vendor's error object has it."""

    message: str
    param: str | None = None
    code: str | None = None
    type: str = "invalid_request_error"
    status: int = 400


@dataclass(frozen=True, slots=True)
class Form:
    """The fields of a request, as sent; the file by its name."""

    model: str
    file_name: str
    response_format: str
    fields: Mapping[str, Sequence[str]] = field(default_factory=dict)

    def first(self, name: str) -> str | None:
        values = self.fields.get(name)
        return values[0] if values else None


def find_objection(form: Form, duration_s: float | None) -> Objection | None:
    """The first reason to refuse; before the file was read ``duration_s`` is not known."""
    model = MODELS.get(form.model)
    if model is None:
        said = f"The model `{form.model}` does not exist or you do not have access to it."
        return Objection(said, code="model_not_found", status=404)
    return next(_objections(form, model, duration_s), None)


def _objections(form: Form, model: Model, duration_s: float | None) -> Iterator[Objection]:
    if form.file_name.rpartition(".")[2].lower() not in FILE_FORMATS:
        yield Objection(f"Unrecognized file format. Supported formats: {list(FILE_FORMATS)}")
    if form.response_format not in model.formats:
        said = f"response_format '{form.response_format}' is not compatible with model '{form.model}'."
        yield Objection(said, "response_format", "unsupported_value")
    for name in _OPTIONAL:
        if form.fields.get(name) and name not in model.takes:
            yield Objection(f"{name} is not supported by model '{form.model}'.", name, "unsupported_parameter")
    if form.fields.get("timestamp_granularities[]") and form.response_format != "verbose_json":
        yield Objection("timestamp_granularities needs response_format verbose_json.", "timestamp_granularities")
    yield from _language_objections(form)
    if any(_BAD_KEYWORD.search(keyword) for keyword in form.fields.get("keywords[]", ())):
        yield Objection("A keyword must be one line without '<' and '>'.", "keywords", "invalid_value")
    if duration_s is not None:
        yield from _length_objections(form, model, duration_s)


def _language_objections(form: Form) -> Iterator[Objection]:
    language, languages = form.first("language"), form.fields.get("languages[]", ())
    if language is not None and languages:
        yield Objection("language and languages cannot be combined.", "languages", "invalid_value")
    for code in (language, *languages):
        if code is not None and not re.fullmatch(r"[a-z]{2}", code):
            yield Objection(f"Invalid language '{code}': must be in ISO-639-1 format.", "language", "invalid_value")


def _length_objections(form: Form, model: Model, duration_s: float) -> Iterator[Objection]:
    limit_s = model.max_duration_s
    if limit_s is not None and duration_s > limit_s:
        said = (
            f"audio duration {duration_s:.1f} seconds is longer than {limit_s:.0f} seconds"
            " which is the maximum for this model"
        )
        yield Objection(said, code="invalid_value")
    if "diarize" in form.model and duration_s > 30 and form.first("chunking_strategy") is None:  # noqa: PLR2004  # its documented 30 s
        yield Objection("chunking_strategy is required for diarization models.", "chunking_strategy")
