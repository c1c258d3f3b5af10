"""Refuses a request whose body nobody wants."""

from __future__ import annotations

from typing import Final

from flask import request

_READ_BYTES: Final = 1024**2


def take_rest() -> None:
    """Take what the caller still sends: a connection closed on unread bytes is reset, and the refusal lost with it."""
    while request.stream.read(_READ_BYTES):
        pass
