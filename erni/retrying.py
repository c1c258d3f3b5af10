"""Whether and when a failed piece of work is tried again. Pure; the only place that decides it.

Exponential backoff with half jitter (AWS Architecture Blog, "Exponential Backoff And Jitter", 2015). What the other
side asked for with ``Retry-After`` goes before it.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from erni.errors import (
    EngineAnswerInvalid,
    EngineRateLimited,
    EngineResting,
    EngineUnavailable,
    ErniError,
    QueueUnavailable,
    StorageError,
)

LONGEST_RETRY_AFTER_S: Final = 3600.0
"""An engine that asks for more is held to this: the deadline, not a header, decides when a job is given up."""
SPREAD_S: Final = 1.0
"""Those told to come back at the same moment come back within this time after it."""


@dataclass(frozen=True, slots=True)
class Patience:
    """How many attempts an error is worth, the pause after the first and the longest one.

    What ``is_wait`` says nothing against the engine at work and is counted apart, so that ten full disks and one bad
    answer are not eleven bad answers.
    """

    attempts: int
    first_s: float
    longest_s: float
    is_wait: bool = False


PATIENCE: Final[dict[type[ErniError], Patience]] = {
    # Where no other engine can do it the piece of work waits until this one is up again, or the deadline ends it.
    EngineResting: Patience(attempts=1000, first_s=5.0, longest_s=60.0, is_wait=True),
    # Too many requests are no fault of the piece of work: it waits for its turn.
    EngineRateLimited: Patience(attempts=60, first_s=1.0, longest_s=60.0, is_wait=True),
    EngineUnavailable: Patience(attempts=6, first_s=1.0, longest_s=30.0),
    # The same question may be answered better once or twice, but is paid for each time.
    EngineAnswerInvalid: Patience(attempts=3, first_s=0.5, longest_s=5.0),
    # Storage and broker come back when an operator mends them: more than an hour of patience loses nothing.
    StorageError: Patience(attempts=90, first_s=1.0, longest_s=60.0, is_wait=True),
    QueueUnavailable: Patience(attempts=90, first_s=1.0, longest_s=60.0, is_wait=True),
}
"""By class; a class without a row of its own has that of its nearest ancestor."""


def retry_delay_s(
    error: ErniError, attempts: int, draw: Callable[[float, float], float] = random.uniform
) -> float | None:
    """Seconds until the next attempt after ``attempts`` failed ones before this, or ``None`` to give up.

    ``attempts`` are the waits where the error is one (``is_wait``), else the engine's failures.
    """
    patience = _find_patience(type(error))
    if not error.retryable or patience is None or attempts + 1 >= patience.attempts:
        return None
    if error.retry_after_s is not None:
        return min(max(error.retry_after_s, 0.0), LONGEST_RETRY_AFTER_S) + draw(0.0, SPREAD_S)
    ceiling = min(patience.longest_s, patience.first_s * 2.0 ** min(attempts, 16))
    return draw(ceiling / 2, ceiling)


def moves_on(error: ErniError) -> bool:
    """Whether a piece of work goes to another engine at once, where there is one, although this one may come back."""
    return isinstance(error, EngineResting)


def is_wait(error: ErniError) -> bool:
    """Whether the work could not be done through no fault of the engine."""
    patience = _find_patience(type(error))
    return patience is not None and patience.is_wait


def _find_patience(kind: type[ErniError]) -> Patience | None:
    return next((PATIENCE[ancestor] for ancestor in kind.__mro__ if ancestor in PATIENCE), None)
