"""Engines, their health and their availability as callers see them in JSON. Builds plain values; knows no request and
no store.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from itertools import groupby
from typing import Any

from api.periods import format_moment
from erni.capabilities import DiarizerCapabilities, Terms, TranscriberCapabilities
from erni.catalogue import Catalogue, Kind, Row
from erni.health import ProbeHour, ProbeSum, sum_hours
from erni.services import Services
from erni.steps.probing import EngineHealth

Json = dict[str, Any]
Capabilities = TranscriberCapabilities | DiarizerCapabilities


@dataclass(frozen=True, slots=True)
class Listed:
    """An engine of the list: one that is set up here, one of the catalogue, or both."""

    kind: Kind
    capabilities: Capabilities
    row: Row | None
    is_configured: bool


def list_engines(services: Services, catalogue: Catalogue) -> list[Listed]:
    """What is set up here, then what the catalogue knows besides."""
    rows = {(row.kind, row.engine): row for row in catalogue.rows}
    configured: list[tuple[Kind, Capabilities]] = [
        *(("transcriber", engine.capabilities) for engine in services.transcribers.values()),
        *(("diarizer", engine.capabilities) for engine in services.diarizers.values()),
        *(("one_shot", engine.capabilities) for engine in services.one_shots.values()),
    ]
    listed = [Listed(kind, each, rows.pop((kind, each.engine), None), is_configured=True) for kind, each in configured]
    return listed + [Listed(row.kind, _capabilities_of(row), row, is_configured=False) for row in rows.values()]


def describe_engine(listed: Listed, health: EngineHealth | None, today: date, *, is_default: bool) -> Json:
    """``health`` is ``None`` of an engine on this machine, of one that is not set up, and while stores are away."""
    capabilities, row = listed.capabilities, listed.row
    return {
        "name": capabilities.engine,
        "kind": listed.kind,
        "model": capabilities.model,
        "configured": listed.is_configured,
        "default": is_default,
        "local": listed.is_configured and capabilities.terms is None,
        "capabilities": _describe_abilities(capabilities),
        "limits": _describe_limits(capabilities.terms),
        "price": _describe_price(capabilities, row),
        "retirement": _describe_retirement(capabilities, health, today),
        "health": None if health is None else _describe_health(health),
    }


def describe_availability(hours: Sequence[ProbeHour]) -> list[Json]:
    """By vendor: the sums, and each hour that has probes."""
    return [
        {
            "provider": provider,
            **_describe_sum(sum_hours(own := list(group))),
            "hours": [{"hour": format_moment(hour.hour), **_describe_sum(sum_hours([hour]))} for hour in own],
        }
        for provider, group in groupby(hours, key=lambda hour: hour.provider)
    ]


def _capabilities_of(row: Row) -> Capabilities:
    return row.diarizer("") if row.kind == "diarizer" else row.transcriber("")


def _describe_abilities(capabilities: Capabilities) -> Json:
    if isinstance(capabilities, DiarizerCapabilities):
        return {
            "speaker_count": capabilities.has_speaker_count,
            "max_speakers": capabilities.max_speakers,
            "max_voiceprints": capabilities.max_voiceprints,
            "max_bytes": capabilities.max_bytes,
            "max_audio_s": capabilities.max_audio_s,
        }
    return {
        "times": capabilities.times,
        "languages": None if capabilities.languages is None else sorted(capabilities.languages),
        "prompt": capabilities.has_prompt,
        "keywords": capabilities.has_keywords,
        "max_speakers": capabilities.max_speakers,
        "grade": capabilities.grade,
        "upload_format": capabilities.upload_format,
        "max_bytes": capabilities.max_bytes,
        "max_chunk_s": _rounded(capabilities.longest_chunk_s, 1),
    }


def _describe_limits(terms: Terms | None) -> Json:
    return {
        "requests_per_minute": terms and terms.requests_per_minute,
        "concurrency": terms and terms.concurrency,
    }


def _describe_price(capabilities: Capabilities, row: Row | None) -> Json:
    """Without a row nobody says where the price was seen; an engine of one's own costs nothing."""
    price: Json = {
        "usd_per_minute": _rounded(capabilities.usd_per_minute, 6),
        "minimum_billed_s": capabilities.minimum_billed_s,
    }
    if isinstance(capabilities, DiarizerCapabilities) and capabilities.max_voiceprints:
        price["usd_per_minute_identify"] = _rounded(capabilities.usd_per_minute_identify, 6)
    return {**price, "source": row and row.source, "seen_on": row and row.seen_on.isoformat()}


def _describe_retirement(capabilities: Capabilities, health: EngineHealth | None, today: date) -> Json:
    terms = capabilities.terms
    retires_on = terms.retires_on if terms is not None else None
    announced = health.probe.shutdowns.get(capabilities.model) if health is not None and health.probe else None
    return {
        "on": retires_on and retires_on.isoformat(),
        "days_left": None if retires_on is None else (retires_on - today).days,
        "retired": terms is not None and terms.is_retired(today),
        "soon": terms is not None and terms.retires_soon(today),
        "announced_by_vendor": announced and announced.isoformat(),
    }


def _describe_health(health: EngineHealth) -> Json:
    gate, probe = health.gate, health.probe
    return {
        "breaker": {"state": gate.breaker, "failures": gate.failures, "rest_s": _rounded(gate.rest_s, 1)},
        "account": {
            "closed_s": _rounded(gate.closed_s, 1),
            "in_flight": gate.in_flight,
            "waiting": gate.waiting,
        },
        "probe": probe
        and {
            "at": format_moment(probe.at),
            "ok": probe.is_ok,
            "latency_s": _rounded(probe.latency_s, 3),
            "failure": probe.failure,
        },
        "availability": {"24h": _rounded(health.day, 5), "30d": _rounded(health.month, 5)},
    }


def _describe_sum(total: ProbeSum) -> Mapping[str, Any]:
    return {
        "probes": total.probes,
        "failures": total.failures,
        "availability": _rounded(total.availability, 5),
        "latency_mean_s": _rounded(total.latency_mean_s, 3),
        "latency_max_s": _rounded(total.latency_max_s, 3),
    }


def _rounded(value: float | None, digits: int) -> float | None:
    return None if value is None else round(value, digits)
