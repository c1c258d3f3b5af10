"""One log event and one count per request, and the headers of every answer. Never logs a query or a body."""

from __future__ import annotations

import time
from typing import Final

import structlog
from flask import Flask, Response, g, request
from redis import Redis

from erni.stores.redis_meter import RedisRequestMeter

log = structlog.get_logger(__name__)

HEADERS: Final = {
    "X-Content-Type-Options": "nosniff",
    "Cache-Control": "no-store",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
}
_KNOWN_METHODS: Final = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})


def install(app: Flask, redis: Redis) -> None:
    """Time every request of this app; log and count it when its answer has been sent."""
    meter = RedisRequestMeter(redis)

    def start() -> None:
        structlog.contextvars.clear_contextvars()
        g.started = time.perf_counter()

    def finish(response: Response) -> Response:
        for name, value in HEADERS.items():
            response.headers.setdefault(name, value)
        started = g.started
        # Routes and methods nobody defined share one label each: a caller must not be able to invent labels.
        route = request.url_rule.rule if request.url_rule else "unmatched"
        method = request.method if request.method in _KNOWN_METHODS else "other"

        def record() -> None:
            elapsed_s = time.perf_counter() - started
            log.info(
                "http_request_served",
                method=method,
                route=route,
                status=response.status_code,
                elapsed_s=round(elapsed_s, 4),
            )
            meter.observe_request((route, method, str(response.status_code)), elapsed_s)

        response.call_on_close(record)
        return response

    app.before_request(start)
    app.after_request(finish)
