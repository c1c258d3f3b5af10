from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, replace
from datetime import date, timedelta

import pytest
from structlog.testing import capture_logs

from erni.catalogue import Catalogue, load_catalogue
from erni.engines.accounts import account_of
from erni.engines.openai_connection import OpenAIConnection
from erni.engines.openai_transcriber import openai_transcribers
from erni.engines.pyannote import PyannoteDiarizer
from erni.engines.pyannote_connection import PyannoteConnection
from erni.engines.uploads import Uploads
from erni.health import ProbeResult
from erni.services import Services
from erni.steps.probing import (
    NO_ANSWER,
    find_probeable,
    gather_health,
    probe_providers,
    remote_terms,
    upcoming_retirements,
    warn_of_retirements,
)
from vendors import openai as loopback_openai
from vendors import pyannote as loopback_pyannote
from vendors.faults import Fault
from vendors.listening import ScriptedListening
from vendors.openai import OpenAIVendor
from vendors.pyannote import PyannoteVendor
from vendors.server import serve

LONG = timedelta(days=40)


@dataclass(frozen=True)
class Vendors:
    """Two vendors, and services whose engines are theirs."""

    openai: OpenAIVendor
    pyannote: PyannoteVendor
    services: Services

    def last(self, provider: str = "openai") -> ProbeResult:
        return self.services.probes.last([provider])[provider]


@pytest.fixture
def catalogue() -> Catalogue:
    return load_catalogue(None, 1.16)


@pytest.fixture
def vendors(services: Services, catalogue: Catalogue) -> Iterator[Vendors]:
    openai, pyannote = OpenAIVendor(ScriptedListening()), PyannoteVendor(listening=ScriptedListening())
    with closing(pyannote), serve(openai.app) as first, serve(pyannote.app) as second:
        account = OpenAIConnection("OpenAI", f"{first.url}/v1", loopback_openai.API_KEY)
        other = PyannoteConnection(loopback_pyannote.API_KEY, second.url)
        terms_of = account_of("pyannote", loopback_pyannote.API_KEY)
        services = replace(
            services,
            transcribers={**services.transcribers, **openai_transcribers(account, catalogue, Uploads())},
            diarizers={
                **services.diarizers,
                **{
                    row.engine: PyannoteDiarizer(other, row.diarizer(terms_of))
                    for row in catalogue.of("pyannote", "diarizer")
                },
            },
        )
        yield Vendors(openai, pyannote, services)


def test_each_vendor_is_asked_once_and_costs_nothing(vendors: Vendors) -> None:
    assert set(find_probeable(vendors.services)) == {"openai", "pyannote"}
    probe_providers(vendors.services)
    assert [each.path for each in vendors.openai.faults.received] == ["/v1/models"]
    assert [each.path for each in vendors.pyannote.faults.received] == ["/v1/test"]
    assert vendors.openai.faults.billed == vendors.pyannote.faults.billed == ()
    assert vendors.last().is_ok
    assert vendors.last("pyannote").is_ok


def test_probes_are_summed_for_reports(vendors: Vendors) -> None:
    services, now = vendors.services, vendors.services.clock()
    probe_providers(services)
    vendors.openai.faults.order(Fault(status=503))
    probe_providers(services)
    openai, pyannote = services.engine_hours.hours(now - timedelta(hours=1), now + timedelta(hours=1))
    assert (openai.provider, openai.probes, openai.failures) == ("openai", 2, 1)
    assert (pyannote.provider, pyannote.probes, pyannote.failures) == ("pyannote", 2, 0)
    assert openai.latency_sum_s == openai.latency_max_s > 0


@pytest.mark.parametrize(
    ("fault", "failure"),
    [
        (Fault(status=503), "engine_down"),
        (Fault(status=401), "engine_not_authorised"),
        (Fault(status=429), None),
    ],
)
def test_result_says_what_is_wrong_and_a_full_vendor_is_not_out(
    vendors: Vendors, fault: Fault, failure: str | None
) -> None:
    vendors.openai.faults.order(fault)
    probe_providers(vendors.services)
    assert vendors.last().failure == failure
    assert vendors.last("pyannote").is_ok


def test_vendor_that_hangs_counts_as_out_and_holds_nobody_up(vendors: Vendors) -> None:
    vendors.openai.faults.order(Fault("delay", delay_s=3.0))
    started = time.monotonic()
    probe_providers(vendors.services, timeout_s=1.5)
    assert time.monotonic() - started < 2.5
    assert vendors.last().failure == NO_ANSWER
    assert vendors.last("pyannote").is_ok


def test_only_changes_are_logged(vendors: Vendors) -> None:
    vendors.openai.faults.order(Fault(status=503), 2)
    with capture_logs() as logged:
        for _ in range(4):
            probe_providers(vendors.services)
    events = [(each["event"], each["provider"]) for each in logged if each["event"].startswith("provider_")]
    assert events == [("provider_out", "openai"), ("provider_back", "openai")]


def test_end_the_vendor_announces_otherwise_than_the_catalogue_is_logged_once(vendors: Vendors) -> None:
    engine = vendors.services.transcribers["openai/whisper-1"]
    terms = replace(remote_terms(vendors.services)["openai/whisper-1"], retires_on=date(2028, 1, 1))
    later = replace(engine, capabilities=replace(engine.capabilities, terms=terms))
    services = replace(vendors.services, transcribers={**vendors.services.transcribers, "openai/whisper-1": later})
    with capture_logs() as logged:
        probe_providers(services)
        probe_providers(services)
    (entry,) = [each for each in logged if each["event"] == "retirement_differs"]
    assert (entry["engine"], entry["announced"], entry["catalogue"]) == ("openai/whisper-1", "2027-02-26", "2028-01-01")


def test_health_joins_gate_last_probe_and_availability(vendors: Vendors) -> None:
    services = vendors.services
    now = services.clock()
    for age in (timedelta(days=2), timedelta(days=3), LONG):
        services.engine_hours.add(ProbeResult("openai", now - age, 1.0, "engine_unavailable"))
    probe_providers(services)
    health = gather_health(services)
    assert set(health) == set(remote_terms(services))
    whisper = health["openai/whisper-1"]
    assert whisper.gate.breaker == "closed"
    assert whisper.probe is not None
    assert whisper.probe.is_ok
    assert whisper.day == 1.0
    assert whisper.month == pytest.approx(1 / 3)


def test_engines_that_end_within_ninety_days_are_named_and_logged(vendors: Vendors) -> None:
    services = replace(vendors.services, clock=lambda: vendors.services.clock().replace(2026, 12, 1))
    ending = [each.engine for each in upcoming_retirements(services)]
    assert "openai/whisper-1" in ending
    assert "openai/gpt-transcribe" not in ending
    with capture_logs() as logged:
        warn_of_retirements(services)
    assert [entry["engine"] for entry in logged] == ending
    assert {(entry["event"], entry["on"], entry["days_left"]) for entry in logged} == {
        ("engine_retires", "2027-02-26", 87)
    }
