"""Quotes, usage and budgets as callers see them in JSON. Builds plain values; knows no request and no store."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from erni.catalogue import Row
from erni.money import Budget, UsageSum
from erni.quoting import Item, Quote

Json = dict[str, Any]

USD_DIGITS: Final = 6
"""A millionth of a dollar: a second with the cheapest engine costs about thirty of them."""


def describe_quote(quote: Quote, budget: Budget, rows: Mapping[str, Row]) -> Json:
    """One way to do a job, and whether the budget has room for it. ``rows`` are the catalogue's, by engine."""
    return {
        "method": quote.options.method,
        "engine": quote.options.engine,
        "diarizer": quote.options.diarizer,
        "total_usd": round_usd(quote.total_usd),
        "fits": budget.has_room_for(quote.total_usd),
        "transcription": _describe_item(quote.transcription, rows),
        "diarization": _describe_item(quote.diarization, rows),
        "identification": _describe_item(quote.identification, rows),
    }


def describe_budget(budget: Budget) -> Json:
    """What a job of the calling key, and the key this month, may spend; ``null`` where there is no cap."""
    left_usd = budget.key_left_usd
    return {
        "job_usd": budget.job_usd,
        "key_month_usd": budget.key_month_usd,
        "key_spent_usd": round_usd(budget.key_spent_usd),
        "key_left_usd": None if left_usd is None else round_usd(left_usd),
    }


def describe_usage(each: UsageSum) -> Json:
    return {
        "key": each.key_id,
        "engine": each.engine,
        "model": each.model,
        "calls": each.calls,
        "audio_s": round(each.audio_s, 3),
        "estimated_usd": round_usd(each.estimated_usd),
        "usd": round_usd(each.usd),
    }


def round_usd(usd: float) -> float:
    return round(usd, USD_DIGITS)


def _describe_item(item: Item[Any] | None, rows: Mapping[str, Row]) -> Json | None:
    """Calls to one engine. Of an engine that is not in the catalogue nobody says where its price was seen."""
    if item is None:
        return None
    row, terms = rows.get(item.capabilities.engine), item.capabilities.terms
    return {
        "usd": round_usd(item.usd),
        "model": item.capabilities.model,
        "calls": item.calls,
        "billed_s": round(item.billed_s, 3),
        "usd_per_minute": round_usd(item.usd_per_minute),
        "minimum_billed_s": item.capabilities.minimum_billed_s,
        "price_source": row.source if row else None,
        "price_seen_on": row.seen_on.isoformat() if row else None,
        "retires_on": terms.retires_on.isoformat() if terms and terms.retires_on else None,
    }
