"""What pyannote.ai refuses at once, field by field. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any, Final

from vendors.webhooks import may_call

_MEDIA: Final = re.compile(r"media://[a-zA-Z0-9\-_./]{1,247}")
_MODELS: Final[Mapping[str, tuple[str, ...]]] = {
    "diarize": ("precision-2", "community-1"),
    "identify": ("precision-2",),
    "voiceprint": ("precision-2",),
}
_COUNTS: Final = ("numSpeakers", "minSpeakers", "maxSpeakers")
_SWITCHES: Final = ("exclusive", "webhookStatusOnly")
_NOT_OFFERED: Final = ("transcription", "confidence", "turnLevelConfidence")
MAX_VOICEPRINTS: Final = 50
MAX_LABEL_CHARS: Final = 100
MAX_VOICEPRINT_CHARS: Final = 20_000
MAX_THRESHOLD: Final = 100

Errors = Iterator[tuple[str, str]]


def check_request(kind: str, asked: object) -> list[dict[str, str]]:
    """The wrong fields, empty where nothing is wrong. ``kind`` is an endpoint's name, or ``media``."""
    if not isinstance(asked, dict):
        return [{"field": "body", "message": "Expected an object"}]
    errors = [*_check_address(kind, asked)]
    if kind != "media":
        errors += [*_check_model(kind, asked), *_check_switches(asked)]
    if kind in {"diarize", "identify"}:
        errors += _check_counts(asked)
    if kind == "identify":
        errors += [*_check_voiceprints(asked.get("voiceprints")), *_check_matching(asked.get("matching", {}))]
    return [{"field": name, "message": message} for name, message in errors]


def _check_address(kind: str, asked: Mapping[str, Any]) -> Errors:
    address = asked.get("url")
    is_media = isinstance(address, str) and _MEDIA.fullmatch(address) is not None
    is_web = isinstance(address, str) and address.startswith("https://") and kind != "media"
    if not is_media and not is_web:
        yield "url", "Invalid URL"


def _check_model(kind: str, asked: Mapping[str, Any]) -> Errors:
    if asked.get("model", "precision-2") not in _MODELS[kind]:
        yield "model", f"Expected one of {', '.join(_MODELS[kind])}"


def _check_switches(asked: Mapping[str, Any]) -> Errors:
    for name in _SWITCHES:
        if not isinstance(asked.get(name, False), bool):
            yield name, "Expected a boolean"
    for name in _NOT_OFFERED:
        if asked.get(name):
            yield name, "Not offered by this stand-in"
    if "webhook" in asked and not may_call(asked["webhook"]):
        yield "webhook", "Expected an HTTPS URL"


def _check_counts(asked: Mapping[str, Any]) -> Errors:
    for name in _COUNTS:
        count = asked.get(name)
        if count is not None and (isinstance(count, bool) or not isinstance(count, int) or count < 1):
            yield name, "Expected a whole number of at least 1"


def _check_voiceprints(voiceprints: object) -> Errors:
    if not isinstance(voiceprints, list) or not 1 <= len(voiceprints) <= MAX_VOICEPRINTS:
        yield "voiceprints", f"Expected 1 to {MAX_VOICEPRINTS} voiceprints"
        return
    for number, row in enumerate(voiceprints):
        label, voiceprint = (row.get(name) if isinstance(row, dict) else None for name in ("label", "voiceprint"))
        if not isinstance(label, str) or not 0 < len(label) <= MAX_LABEL_CHARS or label.lower().startswith("speaker_"):
            yield f"voiceprints.{number}.label", "Invalid label"
        if not isinstance(voiceprint, str) or not 0 < len(voiceprint) <= MAX_VOICEPRINT_CHARS:
            yield f"voiceprints.{number}.voiceprint", "Invalid voiceprint"


def _check_matching(matching: object) -> Errors:
    threshold = matching.get("threshold", 0) if isinstance(matching, dict) else None
    if isinstance(threshold, bool) or not isinstance(threshold, int | float) or not 0 <= threshold <= MAX_THRESHOLD:
        yield "matching.threshold", f"Expected a number from 0 to {MAX_THRESHOLD}"
