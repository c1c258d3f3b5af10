from __future__ import annotations

from evals.counts import pool, share
from evals.timing import WordTimes
from evals.word_metrics import WordErrors


def test_counts_add_up_kind_by_kind() -> None:
    assert WordErrors(10, 1, 2, 3) + WordErrors(20, 0, 1, 0) == WordErrors(30, 1, 3, 3)


def test_a_recording_weighs_by_its_words() -> None:
    pooled = pool([WordErrors(10, 1, 0, 0), WordErrors(90, 1, 0, 0)])
    assert pooled is not None
    assert pooled.rate == 2 / 100


def test_what_was_not_measured_takes_nothing_from_the_sum() -> None:
    assert pool([None, WordErrors(4, 1, 0, 0), None]) == WordErrors(4, 1, 0, 0)
    assert pool([None, None]) is None


def test_single_times_are_kept_in_a_sum() -> None:
    assert WordTimes((0.1,)) + WordTimes((0.2, 0.3)) == WordTimes((0.1, 0.2, 0.3))


def test_a_rate_of_nothing_is_unknown() -> None:
    assert share(0, 0) is None
    assert share(1, 4) == 0.25
