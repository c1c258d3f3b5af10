"""What the routes need, in one frozen value kept with the Flask app. Knows no request."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import cast

from flask import Flask, current_app
from redis import Redis

from erni.options import Offers
from erni.services import Services

_EXTENSION = "erni"


@dataclass(frozen=True, slots=True)
class Runtime:
    """``redis`` is for counters and readiness; ``queues`` are the names workers take work from."""

    services: Services
    redis: Redis
    queues: Sequence[str]
    offers: Offers
    max_upload_bytes: int
    page_size: int


def attach_runtime(app: Flask, runtime: Runtime) -> None:
    app.extensions[_EXTENSION] = runtime


def current_runtime() -> Runtime:
    """The runtime of the app that serves the present request."""
    return cast("Runtime", current_app.extensions[_EXTENSION])
