"""Usage: what a tenant's calls to vendors cost, and what the calling key has left this month."""

from __future__ import annotations

from flask import Blueprint, Response, jsonify

from api.auth import current_caller, require_key
from api.money_schemas import describe_budget, describe_usage, round_usd
from api.periods import format_moment, parse_period
from api.runtime import current_runtime
from erni.money import month_start
from erni.steps.paying import find_budget

blueprint = Blueprint("usage", __name__, url_prefix="/v1/usage")
require_key(blueprint)


@blueprint.get("")
def show_usage() -> Response:
    """Sums by key, engine and model from ``since`` up to ``until``, this month unless asked otherwise."""
    services, caller = current_runtime().services, current_caller()
    now = services.clock()
    since, until = parse_period(now, month_start(now))
    sums = services.ledger.sum_usage(caller.tenant, since, until)
    return jsonify(
        since=format_moment(since),
        until=format_moment(until),
        usage=[describe_usage(each) for each in sums],
        total_usd=round_usd(sum(each.usd for each in sums)),
        key={"id": caller.key_id, **describe_budget(find_budget(services, caller))},
    )
