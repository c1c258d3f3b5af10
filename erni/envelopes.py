"""What every stored document begins with: its kind, and the version of the form it is written in.

A document is ``{"kind": ..., "schema_version": ..., "body": ...}`` in compact UTF-8 JSON. Knows no values of Erni's.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any, Final, TypeVar

from erni.errors import DocumentDamaged

T = TypeVar("T")

SCHEMA_VERSIONS: Final = {
    "plan": 2,
    "recognition": 1,
    "diarization": 1,
    "transcript": 1,
    "preparation": 1,
    "outcome": 2,
    "one_shot": 1,
}
"""Raise a number when an older Erni could no longer read what is written; teach ``load_`` the older form."""


def dump_envelope(kind: str, body: dict[str, Any]) -> bytes:
    """The body as a document of this kind, in its newest form."""
    return encode_json({"kind": kind, "schema_version": SCHEMA_VERSIONS[kind], "body": body})


def encode_json(value: object) -> bytes:
    """As compact as can be, on one line."""
    text = _to_json(value)
    # Half a surrogate pair in an engine's text is no character; it must not cost the whole document.
    return text.encode("utf-8", errors="replace")


_to_json: Final = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"), allow_nan=False).encode


def load_envelope(kind: str, content: bytes, build: Callable[[Any], T]) -> T:
    """What ``build`` makes of the body.

    Raises DocumentDamaged when it is no such document, a newer Erni wrote it, or ``build`` does not find its way.
    """
    try:
        document = json.loads(content)
        found, version = document["kind"], int(document["schema_version"])
    except (ValueError, TypeError, KeyError) as error:
        raise DocumentDamaged(f"The stored {kind} is damaged: it is not an Erni document.") from error
    if found != kind:
        raise DocumentDamaged(f"The stored {kind} is damaged: it holds a {found}.")
    if version > SCHEMA_VERSIONS[kind]:
        raise DocumentDamaged(
            f"The stored {kind} has schema version {version}; this Erni reads up to {SCHEMA_VERSIONS[kind]}. "
            "Upgrade every host to the Erni that wrote it."
        )
    try:
        return build(document["body"])
    except (ValueError, TypeError, KeyError, IndexError, AttributeError) as error:
        raise DocumentDamaged(f"The stored {kind} is damaged: its content is incomplete.") from error
