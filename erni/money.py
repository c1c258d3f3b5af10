"""What calls to vendors cost: charges, caps and sums. Pure values; stores and asks nothing."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

ROUNDING_USD: Final = 1e-9
"""Sums of dollars are off by less: a cap may be spent to the last cent."""


@dataclass(frozen=True, slots=True)
class Charge:
    """A paid call about to be made: who pays, for what, and what it should cost.

    ``charge_id`` is the same for every run of one attempt, so that a call is counted once. ``kind`` is that of a job's
    step, or ``voiceprint``, whose id then is the ``job_id``.
    """

    charge_id: str
    at: datetime
    tenant: str
    key_id: str | None
    job_id: str
    kind: str
    part: int
    engine: str
    model: str
    audio_s: float
    estimated_usd: float


@dataclass(frozen=True, slots=True)
class SpendingCaps:
    """What a job and its key, since ``month_start``, may spend in dollars; ``None`` where there is no cap."""

    month_start: datetime
    job_usd: float | None = None
    key_month_usd: float | None = None


@dataclass(frozen=True, slots=True)
class UsageSum:
    """Calls of one key to one model in a stretch of time. ``usd`` counts estimates where nothing was reported."""

    key_id: str | None
    engine: str
    model: str
    calls: int
    audio_s: float
    estimated_usd: float
    usd: float


def month_start(moment: datetime) -> datetime:
    """The first instant of a moment's calendar month in UTC."""
    return moment.astimezone(UTC).replace(day=1, hour=0, minute=0, second=0, microsecond=0)


@dataclass(frozen=True, slots=True)
class Budget:
    """What may still be spent: a job's cap, and a key's cap for this month with what is gone of it."""

    job_usd: float | None
    key_month_usd: float | None
    key_spent_usd: float

    @property
    def key_left_usd(self) -> float | None:
        return None if self.key_month_usd is None else max(0.0, self.key_month_usd - self.key_spent_usd)

    @property
    def most_usd(self) -> float | None:
        """What a new job may cost; ``None`` where nothing sets a limit."""
        return min((limit for limit in (self.job_usd, self.key_left_usd) if limit is not None), default=None)

    @property
    def is_used_up(self) -> bool:
        """Whether the key has nothing left this month."""
        return self.key_left_usd is not None and self.key_left_usd <= ROUNDING_USD

    def has_room_for(self, usd: float) -> bool:
        return self.most_usd is None or usd <= self.most_usd + ROUNDING_USD
