from __future__ import annotations

import time

import pytest

from api.readiness import Finding, NoWorker, Probe, run_probes, summarise
from erni.errors import StorageError


def finding(*, is_ok: bool, is_required: bool) -> Finding:
    return Finding("part", is_ok=is_ok, is_required=is_required, detail="")


@pytest.mark.parametrize(
    ("findings", "status"),
    [
        ([(True, True), (True, False)], "ready"),
        ([(True, True), (False, False)], "degraded"),
        ([(False, True), (True, False)], "unavailable"),
        ([(False, True), (False, False)], "unavailable"),
    ],
)
def test_required_parts_decide_between_degraded_and_unavailable(findings: list[tuple[bool, bool]], status: str) -> None:
    assert summarise([finding(is_ok=ok, is_required=required) for ok, required in findings]) == status


def fail(error: Exception) -> None:
    raise error


@pytest.mark.parametrize(
    ("error", "detail"),
    [
        (NoWorker(), "no worker is ready for this queue"),
        (StorageError("postgresql://u:p@db/erni"), "cannot be reached"),
        (TimeoutError("10.0.0.7"), "does not answer in time"),
        (RuntimeError("secret"), "fails (RuntimeError)"),
    ],
)
def test_failing_probe_is_explained_without_the_errors_words(error: Exception, detail: str) -> None:
    (found,) = run_probes([Probe("part", lambda: fail(error), is_required=True)])
    assert (found.is_ok, found.detail) == (False, detail)


def test_probe_that_hangs_costs_its_timeout_once_and_no_other_its_answer() -> None:
    slow = [Probe(f"slow {number}", lambda: time.sleep(1.0), is_required=True) for number in range(3)]
    quick = Probe("quick", lambda: None, is_required=True)
    started = time.monotonic()
    *hanging, last = run_probes([*slow, quick], timeout_s=0.2)
    assert time.monotonic() - started < 0.9
    assert {found.detail for found in hanging} == {"does not answer in time"}
    assert last.is_ok
