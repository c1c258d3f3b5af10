"""The retry decision, case by case."""

from __future__ import annotations

import pytest

from erni.errors import (
    BlobNotFound,
    EngineAnswerInvalid,
    EngineRejected,
    EngineUnavailable,
    ErniError,
    QueueUnavailable,
    StorageError,
    StorageFull,
    UnreadableMedia,
)
from tasks.policy import ENGINE_ATTEMPTS, LONGEST_DELAY_S, STORAGE_ATTEMPTS, retry_delay_s


def least(low: float, _high: float) -> float:
    return low


def most(_low: float, high: float) -> float:
    return high


@pytest.mark.parametrize(
    "error", [EngineRejected("x"), EngineAnswerInvalid("x"), UnreadableMedia("x"), BlobNotFound("x")]
)
def test_what_will_not_get_better_is_given_up_at_once(error: ErniError) -> None:
    assert retry_delay_s(error, 0) is None


@pytest.mark.parametrize(
    ("error", "limit"),
    [
        (EngineUnavailable("x"), ENGINE_ATTEMPTS),
        (StorageError("x"), STORAGE_ATTEMPTS),
        (StorageFull("x"), STORAGE_ATTEMPTS),
        (QueueUnavailable("x"), STORAGE_ATTEMPTS),
    ],
)
def test_passing_faults_are_tried_again_a_bounded_number_of_times(error: ErniError, limit: int) -> None:
    assert retry_delay_s(error, limit - 1) is not None
    assert retry_delay_s(error, limit) is None


def test_the_delay_doubles_up_to_its_ceiling() -> None:
    delays = [retry_delay_s(StorageError("x"), attempts, most) for attempts in range(10)]
    assert delays[:5] == [1, 2, 4, 8, 16]
    assert delays[-1] == LONGEST_DELAY_S


def test_the_delay_is_spread_over_half_its_range() -> None:
    assert retry_delay_s(StorageError("x"), 3, least) == 4
    assert retry_delay_s(StorageError("x"), 3, most) == 8


def test_the_other_sides_wish_goes_before_backoff() -> None:
    assert retry_delay_s(EngineUnavailable("x", retry_after_s=17.0), 0) == 17.0


def test_a_huge_number_of_attempts_does_not_overflow() -> None:
    assert retry_delay_s(StorageError("x"), STORAGE_ATTEMPTS - 1, most) == LONGEST_DELAY_S
