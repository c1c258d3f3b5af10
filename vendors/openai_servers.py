"""What servers that speak OpenAI's protocol refuse although OpenAI would not, and what they take for granted.

Source: speaches' ``routers/stt.py`` and ``executors/parakeet.py``, the README of whisper.cpp's server, and vLLM's
documentation.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Final

from vendors.openai_models import Form, Objection
from vendors.openai_shapes import Kind

WHISPER_MODEL: Final = "Systran/faster-whisper-small"
TEXT_MODEL: Final = "istupakov/parakeet-tdt-0.6b-v3-onnx"
"""Gives text only, at speaches."""

_NEVER: Final = frozenset({"diarized_json"})
_FORMATS_REFUSED: Final = {"vllm": _NEVER | {"srt", "vtt"}}


def find_server_objection(kind: Kind, form: Form, installed: Collection[str]) -> Objection | None:
    """Why a form is refused. All but speaches, which has to be told to install one, know every model."""
    if kind == "speaches" and form.model not in installed:
        said = f"Model '{form.model}' is not installed locally. You can download the model using `POST /v1/models`"
        return Objection(said, status=404)
    if form.response_format in _FORMATS_REFUSED.get(kind, _NEVER):
        return Objection(f"Unsupported response_format: {form.response_format}")
    if kind == "speaches" and "parakeet" in form.model and form.response_format not in {"text", "json"}:
        # Raised where nothing expects it.
        return Objection(f"'{form.response_format}' response format is not supported for this model.", status=500)
    return None


def is_readable(kind: Kind, content: bytes) -> bool:
    """whisper.cpp reads WAV; it is told with ``--convert`` to have ffmpeg read the rest."""
    return kind != "whisper.cpp" or content.startswith(b"RIFF")


def spoken_language(kind: Kind, asked: str | None) -> str | None:
    """What a server listens for; ``None`` where it finds out. whisper.cpp takes all for English unless it is told."""
    if kind == "whisper.cpp" and asked is None:
        return "en"
    return None if asked == "auto" else asked
