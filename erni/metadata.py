"""Metadata a caller sends along with a job, checked. Pure."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Final

from erni.errors import InvalidOption

MAX_METADATA_PAIRS: Final = 16
MAX_METADATA_KEY_CHARS: Final = 64
MAX_METADATA_VALUE_CHARS: Final = 512
METADATA_FIELD: Final = re.compile(r"metadata\[(?P<key>.*)\]", re.DOTALL)


def parse_metadata(values: Mapping[str, str]) -> dict[str, str]:
    """From one field ``metadata`` holding a JSON object, or any number of fields ``metadata[key]``.

    Raises:
        InvalidOption: it is not that, or too much.
    """
    pairs = [(match["key"], value) for name, value in values.items() if (match := METADATA_FIELD.fullmatch(name))]
    if "metadata" in values:
        if pairs:
            raise InvalidOption(
                "Send metadata as one JSON object or as metadata[key] fields, not both.", field="metadata"
            )
        pairs = _load_pairs(values["metadata"])
    if len(pairs) > MAX_METADATA_PAIRS:
        raise InvalidOption(
            f"metadata has {len(pairs)} entries; at most {MAX_METADATA_PAIRS} are allowed.", field="metadata"
        )
    for key, value in pairs:
        _check_pair(key, value)
    return dict(pairs)


def _load_pairs(text: str) -> list[tuple[str, str]]:
    """Pairs of a flat JSON object of strings; a repeated key is refused rather than overwritten."""
    try:
        loaded = json.loads(text, object_pairs_hook=_JsonPairs)
    except (ValueError, RecursionError):  # deep nesting exhausts the parser's stack
        loaded = None
    if not isinstance(loaded, _JsonPairs) or not all(isinstance(value, str) for _, value in loaded):
        raise InvalidOption(
            'metadata must be a JSON object of strings, such as {"meeting": "standup"}.', field="metadata"
        )
    if len({key for key, _ in loaded}) != len(loaded):
        raise InvalidOption("metadata names a key twice.", field="metadata")
    return list(loaded)


class _JsonPairs(list[tuple[str, str]]):
    """A JSON object as its pairs, told from a JSON array by its type."""


def _check_pair(key: str, value: str) -> None:
    if not 1 <= len(key) <= MAX_METADATA_KEY_CHARS:
        raise InvalidOption(f"A metadata key must have 1 to {MAX_METADATA_KEY_CHARS} characters.", field="metadata")
    if len(value) > MAX_METADATA_VALUE_CHARS:
        raise InvalidOption(
            f"A metadata value may have at most {MAX_METADATA_VALUE_CHARS} characters.", field="metadata"
        )
    check_characters("metadata", key + value)


def check_characters(field: str, text: str) -> None:
    """Refuse what the records cannot hold: NUL (PostgreSQL) and halves of surrogate pairs (not UTF-8)."""
    if "\0" in text or any("\ud800" <= character <= "\udfff" for character in text):
        raise InvalidOption(f"{field} holds characters that are not text.", field=field)
