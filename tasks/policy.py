"""Whether and when a failed piece of work is tried again. Pure; the only place that decides it."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Final

from erni.errors import ErniError, QueueUnavailable, StorageError

FIRST_DELAY_S: Final = 1.0
LONGEST_DELAY_S: Final = 60.0
ENGINE_ATTEMPTS: Final = 5
STORAGE_ATTEMPTS: Final = 60
"""Storage comes back when an operator mends it: about an hour of patience, and nothing is lost by waiting."""


def retry_delay_s(
    error: ErniError, attempts: int, draw: Callable[[float, float], float] = random.uniform
) -> float | None:
    """Seconds until the next attempt after ``attempts`` failed ones, or ``None`` to give up.

    Exponential backoff with full jitter (AWS Architecture Blog, "Exponential Backoff And Jitter", 2015); what
    the other side asked for with ``Retry-After`` goes before.
    """
    limit = STORAGE_ATTEMPTS if isinstance(error, (StorageError, QueueUnavailable)) else ENGINE_ATTEMPTS
    if not error.retryable or attempts >= limit:
        return None
    if error.retry_after_s is not None:
        return error.retry_after_s
    ceiling = min(LONGEST_DELAY_S, FIRST_DELAY_S * 2 ** min(attempts, 16))
    return draw(ceiling / 2, ceiling)
