"""Asking vendors whether they answer, and what is known of how they do. Asks what costs nothing, never holds a job up.

Vendors are asked side by side, each by a thread that is left behind when its vendor hangs: the worker that probes also
joins transcripts.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Final, Protocol, runtime_checkable

import structlog

from erni.capabilities import DiarizerCapabilities, Terms, TranscriberCapabilities
from erni.errors import EngineRateLimited, ErniError
from erni.health import ProbeResult, Retirement, find_retirements, sum_hours
from erni.ports import GateState
from erni.services import Services
from erni.steps.awaiting import provider_of

log = structlog.get_logger(__name__)

PROBE_TIMEOUT_S: Final = 15.0
"""Whoever has not answered by then counts as out."""
NO_ANSWER: Final = "no_answer"
SHORT_SPAN: Final = timedelta(hours=24)
LONG_SPAN: Final = timedelta(days=30)


@runtime_checkable
class Probeable(Protocol):
    """An engine whose vendor can be asked how it is."""

    def probe(self) -> Mapping[str, date | None] | None:
        """Returns the days models end, where the vendor tells. Raises EngineError."""


@dataclass(frozen=True, slots=True)
class EngineHealth:
    """How an engine's gate stands, what the last probe of its vendor found, and the share of probes that succeeded over
    a day and a month.
    """

    gate: GateState
    probe: ProbeResult | None
    day: float | None
    month: float | None


def probe_providers(services: Services, timeout_s: float = PROBE_TIMEOUT_S) -> None:
    """Ask every vendor once and record what came of it. Raises StorageError, QueueUnavailable."""
    engines = find_probeable(services)
    before = services.probes.last(tuple(engines))
    for result in _ask_all(services, engines, timeout_s):
        services.engine_hours.add(result)
        services.probes.put(result)
        _report_change(before.get(result.provider), result)
        _compare_retirements(services, before.get(result.provider), result)


def find_probeable(services: Services) -> dict[str, Probeable]:
    """An engine of each vendor that can be asked, by vendor."""
    found: dict[str, Probeable] = {}
    for name, engine in {**services.transcribers, **services.diarizers, **services.one_shots}.items():
        if isinstance(engine, Probeable):
            found.setdefault(provider_of(name), engine)
    return found


def remote_terms(services: Services) -> dict[str, Terms]:
    """The conditions of every engine that is somebody else's, by its name."""
    capabilities: list[TranscriberCapabilities | DiarizerCapabilities] = [
        *(engine.capabilities for engine in services.transcribers.values()),
        *(engine.capabilities for engine in services.diarizers.values()),
        *(engine.capabilities for engine in services.one_shots.values()),
    ]
    return {each.engine: each.terms for each in capabilities if each.terms is not None}


def gather_health(services: Services) -> dict[str, EngineHealth]:
    """How every remote engine does, by name. Raises StorageError, QueueUnavailable."""
    terms, now = remote_terms(services), services.clock()
    gates = services.gates.states(terms)
    probes = services.probes.last(sorted({provider_of(engine) for engine in terms}))
    hours = services.engine_hours.hours(now - LONG_SPAN, now)
    found: dict[str, EngineHealth] = {}
    for engine in terms:
        provider = provider_of(engine)
        month = [hour for hour in hours if hour.provider == provider]
        day = [hour for hour in month if hour.hour >= now - SHORT_SPAN]
        found[engine] = EngineHealth(
            gates[engine], probes.get(provider), sum_hours(day).availability, sum_hours(month).availability
        )
    return found


def upcoming_retirements(services: Services) -> tuple[Retirement, ...]:
    """Of the engines set up here."""
    return find_retirements(remote_terms(services), services.clock().date())


def warn_of_retirements(services: Services) -> None:
    """Log the engines that end soon, or have ended."""
    for retirement in upcoming_retirements(services):
        log.warning("engine_retires", engine=retirement.engine, on=str(retirement.on), days_left=retirement.days_left)


def _ask_all(services: Services, engines: Mapping[str, Probeable], timeout_s: float) -> list[ProbeResult]:
    answers: dict[str, ProbeResult] = {}
    began, started = services.clock(), time.monotonic()

    def ask(provider: str, engine: Probeable) -> None:
        answers[provider] = _ask(provider, engine, began)

    threads = [threading.Thread(target=ask, args=each, daemon=True, name="probe") for each in engines.items()]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(max(0.0, started + timeout_s - time.monotonic()))
    return [answers.get(provider, ProbeResult(provider, began, timeout_s, NO_ANSWER)) for provider in engines]


def _ask(provider: str, engine: Probeable, began: datetime) -> ProbeResult:
    started = time.monotonic()
    try:
        days = engine.probe() or {}
    except EngineRateLimited:
        # Whoever asks us to come back later is there.
        return ProbeResult(provider, began, time.monotonic() - started)
    except ErniError as error:
        return ProbeResult(provider, began, time.monotonic() - started, error.code)
    shutdowns = {model: day for model, day in days.items() if day is not None}
    return ProbeResult(provider, began, time.monotonic() - started, None, shutdowns)


def _report_change(before: ProbeResult | None, result: ProbeResult) -> None:
    if not result.is_ok and (before is None or before.failure != result.failure):
        log.warning("provider_out", provider=result.provider, reason=result.failure)
    elif result.is_ok and before is not None and not before.is_ok:
        log.info("provider_back", provider=result.provider, latency_s=round(result.latency_s, 3))


def _compare_retirements(services: Services, before: ProbeResult | None, result: ProbeResult) -> None:
    """Log, when it is news, that a vendor announces another end of a model than the catalogue has."""
    known = before.shutdowns if before is not None else {}
    for engine, terms in remote_terms(services).items():
        provider, _, model = engine.partition("/")
        announced = result.shutdowns.get(model) if provider == result.provider else None
        if announced is not None and announced not in (terms.retires_on, known.get(model)):
            log.warning("retirement_differs", engine=engine, announced=str(announced), catalogue=str(terms.retires_on))
