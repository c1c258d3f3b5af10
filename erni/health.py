"""How vendors and their engines are doing: what a probe found, sums by the hour, and which engines come to their end.
Pure values; asks and stores nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import date, datetime

from erni.capabilities import Terms


@dataclass(frozen=True, slots=True)
class ProbeResult:
    """What one cheap call to a vendor came to. ``failure`` is the code of the error, ``None`` when all is well.

    ``shutdowns`` are the days on which models end, as far as the vendor announces them in its answer.
    """

    provider: str
    at: datetime
    latency_s: float
    failure: str | None = None
    shutdowns: Mapping[str, date] = field(default_factory=dict)

    @property
    def is_ok(self) -> bool:
        return self.failure is None


@dataclass(frozen=True, slots=True)
class ProbeHour:
    """The probes of a vendor in the hour that began at ``hour``. Latencies are of those that succeeded."""

    provider: str
    hour: datetime
    probes: int
    failures: int
    latency_sum_s: float
    latency_max_s: float


@dataclass(frozen=True, slots=True)
class ProbeSum:
    """Probes over some hours."""

    probes: int = 0
    failures: int = 0
    latency_sum_s: float = 0.0
    latency_max_s: float = 0.0

    @property
    def availability(self) -> float | None:
        """The share of probes that succeeded; ``None`` without any."""
        return (self.probes - self.failures) / self.probes if self.probes else None

    @property
    def latency_mean_s(self) -> float | None:
        succeeded = self.probes - self.failures
        return self.latency_sum_s / succeeded if succeeded else None


def sum_hours(hours: Iterable[ProbeHour]) -> ProbeSum:
    """The hours together, whosever they are."""
    total = ProbeSum()
    for hour in hours:
        total = ProbeSum(
            total.probes + hour.probes,
            total.failures + hour.failures,
            total.latency_sum_s + hour.latency_sum_s,
            max(total.latency_max_s, hour.latency_max_s),
        )
    return total


@dataclass(frozen=True, slots=True)
class Retirement:
    """An engine that ends soon, or has ended: then ``days_left`` is not positive."""

    engine: str
    on: date
    days_left: int

    @property
    def sentence(self) -> str:
        if self.days_left <= 0:
            return f"{self.engine} ended on {self.on}; use another engine."
        return f"{self.engine} ends on {self.on}, in {self.days_left} days; choose another engine before."


def find_retirements(engines: Mapping[str, Terms], today: date) -> tuple[Retirement, ...]:
    """The engines that have ended or are within the notice, those that end first before others."""
    found = [
        Retirement(engine, terms.retires_on, (terms.retires_on - today).days)
        for engine, terms in engines.items()
        if terms.retires_on is not None and (terms.is_retired(today) or terms.retires_soon(today))
    ]
    return tuple(sorted(found, key=lambda retirement: (retirement.on, retirement.engine)))
