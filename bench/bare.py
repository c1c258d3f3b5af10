"""A bare WSGI handler that hashes and writes what it is sent: the floor an upload cannot go below."""

from __future__ import annotations

import hashlib
import tempfile
from collections.abc import Callable, Iterable
from typing import Any

from werkzeug.formparser import parse_form_data

BLOCK_BYTES = 1024 * 1024


class _HashingFile:
    """What the multipart parser writes the file's part to."""

    def __init__(self) -> None:
        self._file = tempfile.TemporaryFile()  # noqa: SIM115  # closed by close()
        self._digest = hashlib.sha256()

    def write(self, block: bytes) -> int:
        self._digest.update(block)
        return self._file.write(block)

    def seek(self, *place: int) -> int:
        return self._file.seek(*place)

    def close(self) -> None:
        self._file.close()


def app(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
    """Takes a raw or a multipart body, answers 202."""
    if str(environ.get("CONTENT_TYPE", "")).startswith("multipart/"):
        _, _, files = parse_form_data(environ, stream_factory=lambda *_, **__: _HashingFile())  # type: ignore[arg-type]  # enough of a file
        for part in files.values():
            part.close()
    else:
        _take_raw(environ)
    start_response("202 Accepted", [("Content-Type", "text/plain"), ("Content-Length", "2")])
    return [b"ok"]


def _take_raw(environ: dict[str, Any]) -> None:
    digest, left = hashlib.sha256(), int(environ.get("CONTENT_LENGTH") or 0)
    with tempfile.TemporaryFile() as file:
        while left and (block := environ["wsgi.input"].read(min(BLOCK_BYTES, left))):
            digest.update(block)
            file.write(block)
            left -= len(block)
