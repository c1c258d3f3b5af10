"""Engines: what there is to choose from, what it costs, when it ends and how it does. The same for every tenant."""

from __future__ import annotations

from collections.abc import Mapping

import structlog
from flask import Blueprint, Response, jsonify

from api.auth import require_key
from api.engine_schemas import Listed, describe_availability, describe_engine, list_engines
from api.periods import format_moment, parse_period
from api.runtime import current_runtime
from erni.errors import QueueUnavailable, StorageError
from erni.offers import Offers
from erni.services import Services
from erni.steps.probing import LONG_SPAN, EngineHealth, gather_health

log = structlog.get_logger(__name__)

blueprint = Blueprint("engines", __name__, url_prefix="/v1/engines")
require_key(blueprint)


@blueprint.get("")
def show_engines() -> Response:
    """Those set up here, then those of the catalogue that want a key first."""
    runtime = current_runtime()
    health, today = _health_if_known(runtime.services), runtime.services.clock().date()
    offers = runtime.offers.on(today)
    return jsonify(
        engines=[
            describe_engine(
                listed,
                health.get(listed.capabilities.engine) if listed.is_configured else None,
                today,
                is_default=_is_default(listed, offers),
            )
            for listed in list_engines(runtime.services, runtime.catalogue)
        ]
    )


@blueprint.get("/availability")
def show_availability() -> Response:
    """Probes by vendor and hour from ``since`` up to ``until``, the last thirty days unless asked otherwise."""
    services = current_runtime().services
    now = services.clock()
    since, until = parse_period(now, now - LONG_SPAN)
    hours = services.engine_hours.hours(since, until)
    return jsonify(since=format_moment(since), until=format_moment(until), providers=describe_availability(hours))


def _health_if_known(services: Services) -> Mapping[str, EngineHealth]:
    """A list without health is better than none."""
    try:
        return gather_health(services)
    except (QueueUnavailable, StorageError) as error:
        log.warning("engine_health_unknown", code=error.code)
        return {}


def _is_default(listed: Listed, offers: Offers) -> bool:
    name = listed.capabilities.engine
    default = {"transcriber": offers.default_engine, "diarizer": offers.default_diarizer}.get(listed.kind)
    return listed.is_configured and name == default
