"""Small JSON bodies: an object, or a clear error. Knows no route."""

from __future__ import annotations

from typing import Any, Final

from flask import request
from werkzeug.exceptions import BadRequest

from erni.errors import InvalidOption

MAX_BODY_BYTES: Final = 64 * 1024


def load_json_object(example: str) -> dict[str, Any]:
    """The body, which must be a JSON object such as ``example``; an empty one counts as an object without fields.

    Raises:
        InvalidOption: it is not that.
        RequestEntityTooLarge: it is longer than any such object.
    """
    request.max_content_length = MAX_BODY_BYTES
    if not request.get_data():
        return {}
    try:
        body = request.get_json(force=True)
    except (BadRequest, RecursionError):  # deep nesting exhausts the parser's stack
        body = None
    if not isinstance(body, dict):
        raise InvalidOption(f"Send a JSON object, such as {example}.")
    return body


def check_fields(body: dict[str, Any], *known: str) -> None:
    """Raises InvalidOption where the object has a field that is not ``known``."""
    if unknown := [name for name in body if name not in known]:
        raise InvalidOption(f"There is no such field. Known here: {', '.join(known)}.", field=unknown[0][:64])
