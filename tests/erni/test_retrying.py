"""The retry decision, case by case."""

from __future__ import annotations

import pytest

from erni.errors import (
    BlobNotFound,
    DocumentDamaged,
    EngineAnswerInvalid,
    EngineRateLimited,
    EngineRejected,
    EngineUnavailable,
    ErniError,
    QueueUnavailable,
    StorageError,
    StorageFull,
    UnreadableMedia,
    WorkLost,
)
from erni.retrying import LONGEST_RETRY_AFTER_S, PATIENCE, SPREAD_S, retry_delay_s


def least(low: float, _high: float) -> float:
    return low


def most(_low: float, high: float) -> float:
    return high


@pytest.mark.parametrize("kind", [EngineRejected, UnreadableMedia, BlobNotFound, DocumentDamaged, WorkLost])
def test_what_will_not_get_better_is_given_up_at_once(kind: type[ErniError]) -> None:
    assert retry_delay_s(kind("x"), 0) is None


@pytest.mark.parametrize(
    ("kind", "attempts"),
    [
        (EngineRateLimited, 60),
        (EngineUnavailable, 6),
        (EngineAnswerInvalid, 3),
        (StorageError, 90),
        (StorageFull, 90),
        (QueueUnavailable, 90),
    ],
)
def test_passing_faults_are_tried_a_bounded_number_of_times(kind: type[ErniError], attempts: int) -> None:
    delays = [retry_delay_s(kind("x"), failed) for failed in range(attempts)]
    assert delays[-1] is None
    assert None not in delays[:-1]


@pytest.mark.parametrize("kind", PATIENCE)
def test_the_delay_doubles_up_to_its_ceiling(kind: type[ErniError]) -> None:
    patience = PATIENCE[kind]
    delays = [retry_delay_s(kind("x"), failed, most) for failed in range(patience.attempts - 1)]
    expected = [min(patience.longest_s, patience.first_s * 2**failed) for failed in range(patience.attempts - 1)]
    assert delays == expected


def test_the_delay_is_spread_over_half_its_range() -> None:
    assert retry_delay_s(StorageError("x"), 3, least) == 4
    assert retry_delay_s(StorageError("x"), 3, most) == 8


def test_the_other_sides_wish_goes_before_backoff() -> None:
    error = EngineRateLimited("x", retry_after_s=17.0)
    assert retry_delay_s(error, 0, least) == 17.0
    assert retry_delay_s(error, 0, most) == 17.0 + SPREAD_S


@pytest.mark.parametrize(("asked_s", "waited_s"), [(1e9, LONGEST_RETRY_AFTER_S), (-5.0, 0.0)])
def test_an_absurd_wish_is_held_to_bounds(asked_s: float, waited_s: float) -> None:
    assert retry_delay_s(EngineUnavailable("x", retry_after_s=asked_s), 0, least) == waited_s


def test_a_huge_number_of_attempts_does_not_overflow() -> None:
    assert retry_delay_s(StorageError("x"), 10**6) is None
