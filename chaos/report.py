"""What a chaos run showed: how each job ended, what was paid twice, how long recovery took. Pure but for printing."""

from __future__ import annotations

import statistics
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Final, Literal

import click
from rich.table import Table

from chaos.ledger import DoublePayment, Injection
from cli.terminal import print_table

Verdict = Literal["right", "lost", "stuck", "wrong"]

MEDIAN_LIMIT_S: Final = 20.0
WORST_LIMIT_S: Final = 45.0
NO_FAULT: Final = "(before)"
HEADS: Final = (
    "fault",
    "times",
    "jobs hit",
    "right",
    "lost",
    "stuck",
    "wrong",
    "paid twice",
    "excused",
    "median s",
    "worst s",
)


@dataclass(frozen=True, slots=True)
class JobEnd:
    """How an accepted job ended: ``lost`` is gone or without a whole transcript, ``wrong`` has another transcript."""

    job_id: str
    accepted_s: float
    over_s: float | None
    verdict: Verdict
    detail: str = ""


@dataclass(frozen=True, slots=True)
class Recovered:
    """A fault and the seconds until its work went on, ``None`` when it did not."""

    injection: Injection
    recovery_s: float | None


@dataclass(frozen=True, slots=True)
class Evidence:
    """What a run left. ``calls`` counts the engine's calls by outcome, ``refused`` are submissions the API refused."""

    ends: Sequence[JobEnd]
    payments: Sequence[DoublePayment]
    recovered: Sequence[Recovered]
    calls: Mapping[str, int]
    refused: Sequence[str] = ()


@dataclass(frozen=True, slots=True)
class Row:
    """One kind of fault. Jobs are those in flight when it struck, so one job may count under several kinds."""

    kind: str
    injected: int
    accepted: int
    right: int
    lost: int
    stuck: int
    wrong: int
    paid_twice: int
    excused: int
    median_s: float | None
    worst_s: float | None


@dataclass(frozen=True, slots=True)
class Report:
    """The evidence, summed up by kind of fault and over all."""

    seed: int
    rows: tuple[Row, ...]
    total: Row
    evidence: Evidence

    @property
    def is_good(self) -> bool:
        """Nothing lost, stuck, wrong, refused or paid twice, and every fault was recovered from."""
        total = self.total
        has_failed = total.lost or total.stuck or total.wrong or total.paid_twice or self.evidence.refused
        has_stalled = any(each.recovery_s is None for each in self.evidence.recovered)
        return total.accepted > 0 and not has_failed and not has_stalled

    @property
    def is_quick(self) -> bool:
        median_s, worst_s = self.total.median_s, self.total.worst_s
        return median_s is None or worst_s is None or (median_s <= MEDIAN_LIMIT_S and worst_s <= WORST_LIMIT_S)


def build_report(seed: int, evidence: Evidence) -> Report:
    kinds = sorted({each.injection.kind for each in evidence.recovered})
    rows = tuple(_sum_up(kind, _evidence_of(kind, evidence)) for kind in kinds)
    return Report(seed, rows, _sum_up("all", evidence), evidence)


def _evidence_of(kind: str, evidence: Evidence) -> Evidence:
    recovered = [each for each in evidence.recovered if each.injection.kind == kind]
    return Evidence(
        ends=[end for end in evidence.ends if any(_was_in_flight(end, each.injection) for each in recovered)],
        payments=[payment for payment in evidence.payments if blame(payment, evidence.recovered) == kind],
        recovered=recovered,
        calls={},
    )


def blame(payment: DoublePayment, recovered: Sequence[Recovered]) -> str:
    """The fault that excuses it, else the last one that began before the second payment."""
    if payment.fault is not None:
        return payment.fault
    before = [each.injection for each in recovered if each.injection.at_s <= payment.second.begun_s]
    return max(before, key=lambda injection: injection.at_s).kind if before else NO_FAULT


def _was_in_flight(end: JobEnd, injection: Injection) -> bool:
    return end.accepted_s <= injection.over_s and (end.over_s is None or end.over_s >= injection.at_s)


def _sum_up(kind: str, evidence: Evidence) -> Row:
    ends, payments, recovered = evidence.ends, evidence.payments, evidence.recovered
    taken = [each.recovery_s for each in recovered if each.recovery_s is not None]
    return Row(
        kind=kind,
        injected=len(recovered),
        accepted=len(ends),
        right=_count(ends, "right"),
        lost=_count(ends, "lost"),
        stuck=_count(ends, "stuck"),
        wrong=_count(ends, "wrong"),
        paid_twice=sum(payment.excuse is None for payment in payments),
        excused=sum(payment.excuse is not None for payment in payments),
        median_s=round(statistics.median(taken), 1) if taken else None,
        worst_s=round(max(taken), 1) if taken else None,
    )


def _count(ends: Sequence[JobEnd], verdict: Verdict) -> int:
    return sum(end.verdict == verdict for end in ends)


def describe(report: Report) -> dict[str, Any]:
    """The report as JSON values."""
    evidence = report.evidence
    return {
        "seed": report.seed,
        "good": report.is_good,
        "quick": report.is_quick,
        "total": asdict(report.total),
        "kinds": [asdict(row) for row in report.rows],
        "calls": dict(evidence.calls),
        "not_right": [asdict(end) for end in evidence.ends if end.verdict != "right"],
        "paid_twice": [asdict(payment) for payment in evidence.payments],
        "faults": [
            {**asdict(each.injection), "killed": sorted(each.injection.killed), "recovery_s": each.recovery_s}
            for each in evidence.recovered
        ],
        "refused": list(evidence.refused),
    }


def print_report(report: Report) -> None:
    """A table by kind of fault, and each thing that went wrong in a line."""
    table = Table(*HEADS)
    for row in (*report.rows, report.total):
        table.add_row(*("-" if value is None else str(value) for value in asdict(row).values()))
    print_table(table)
    for line in complaints(report):
        click.echo(line)
    counts = ", ".join(f"{count} {outcome}" for outcome, count in sorted(report.evidence.calls.items()))
    click.echo(f"engine calls: {counts}; seed {report.seed}")


def complaints(report: Report) -> Iterator[str]:
    """A line for each thing that should not have been."""
    evidence = report.evidence
    yield from (f"{end.verdict}: job {end.job_id}: {end.detail}" for end in evidence.ends if end.verdict != "right")
    for payment in evidence.payments:
        if payment.excuse is None:
            yield f"paid twice: {payment.first} and {payment.second}"
    for each in evidence.recovered:
        if each.recovery_s is None:
            yield f"never went on: fault {each.injection.number + 1}, {each.injection.kind}"
    yield from (f"refused: {refusal}" for refusal in evidence.refused)
    if not report.is_quick:
        yield f"slower than meant: median <= {MEDIAN_LIMIT_S:.0f} s, worst <= {WORST_LIMIT_S:.0f} s"
