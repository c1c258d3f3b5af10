"""Metrics for Prometheus. Open to anyone who reaches the port, so it holds figures only."""

from __future__ import annotations

from flask import Blueprint, Response, request
from prometheus_client import CollectorRegistry
from prometheus_client.exposition import choose_encoder

from api.exposition import StoreCollector
from api.runtime import current_runtime

blueprint = Blueprint("metrics", __name__)


@blueprint.get("/metrics")
def show_metrics() -> Response:
    """In the text format the scraper asks for."""
    registry = CollectorRegistry()
    registry.register(StoreCollector(current_runtime()))
    encode, content_type = choose_encoder(request.headers.get("Accept", ""))
    return Response(encode(registry), content_type=content_type)
