"""Calling an engine that may be remote: not after its end, within its limits, past its breaker and onto the ledger. A
local engine is just called.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from erni.capabilities import DiarizerCapabilities, TranscriberCapabilities, VoiceprintCapabilities
from erni.errors import EngineRejected
from erni.jobs import Job, Step
from erni.services import Services
from erni.steps.paying import Payment, paid_call

AnyCapabilities = TranscriberCapabilities | DiarizerCapabilities | VoiceprintCapabilities


@contextmanager
def engine_call(
    services: Services,
    job: Job,
    step: Step,
    capabilities: TranscriberCapabilities | DiarizerCapabilities,
    audio_s: float,
) -> Iterator[Payment]:
    """Hold the engine's place and the money for the call that is made inside; settle the payment there.

    Raises:
        EngineRejected: the vendor has shut the engine down.
        WorkPostponed: it is not this call's turn yet.
        EngineResting: its breaker is open.
        SpendingCapReached: there is no money for it.
    """
    ticket = f"{job.job_id}:{step.kind}:{step.part}"
    with (
        gate(services, capabilities, ticket),
        paid_call(services, job, step, capabilities, audio_s) as payment,
    ):
        yield payment


@contextmanager
def gate(services: Services, capabilities: AnyCapabilities, ticket: str) -> Iterator[None]:
    """Hold the engine's place, where it is a vendor's; ``ticket`` names the call.

    Raises as ``engine_call``, but for SpendingCapReached.
    """
    check_not_retired(services, capabilities)
    if capabilities.terms is None:
        yield
        return
    with services.gates.enter(capabilities.engine, capabilities.terms, ticket):
        yield


def check_not_retired(services: Services, capabilities: AnyCapabilities) -> None:
    """Raises EngineRejected once the vendor answers no more."""
    terms = capabilities.terms
    if terms is not None and terms.is_retired(services.clock().date()):
        raise EngineRejected(f"{capabilities.engine} was shut down by its vendor on {terms.retires_on}.")
