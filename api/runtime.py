"""What the routes need, in one frozen value kept with the Flask app. Knows no request."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import cast

from flask import Flask, current_app
from redis import Redis

from erni.catalogue import Catalogue
from erni.offers import Offers
from erni.services import Services
from erni.signatures import Delivery

_EXTENSION = "erni"

Verifier = Callable[[Mapping[str, str], bytes, datetime], Delivery]


@dataclass(frozen=True, slots=True)
class Runtime:
    """``redis`` is for counters and readiness; ``queues`` are the names workers take work from; ``catalogue`` says
    where prices come from. ``verifiers`` tell, by vendor, whether a webhook is his: from its headers, its body and the
    time it is.
    """

    services: Services
    redis: Redis
    queues: Sequence[str]
    offers: Offers
    max_upload_bytes: int
    page_size: int
    catalogue: Catalogue
    verifiers: Mapping[str, Verifier] = field(default_factory=dict)


def attach_runtime(app: Flask, runtime: Runtime) -> None:
    app.extensions[_EXTENSION] = runtime


def current_runtime() -> Runtime:
    """The runtime of the app that serves the present request."""
    return cast("Runtime", current_app.extensions[_EXTENSION])
