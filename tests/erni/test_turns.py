"""Turns out of labelled windows: 1.5 s long, one every 0.6 s while somebody speaks, as the embeddings have them."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from erni.model import Turn
from erni.turns import PAUSE_S, label_turns


def turns(*labelled: tuple[float, str]) -> list[tuple[float, float, str]]:
    """Turns of windows that start at these seconds and are labelled A, B ..."""
    windows = np.array([(start_s, start_s + 1.5) for start_s, _ in labelled]).reshape(-1, 2)
    labels = np.array([ord(letter) - ord("A") for _, letter in labelled], dtype=np.int64)
    letters = {f"SPEAKER_{number:02d}": letter for number, letter in enumerate("ABCD")}
    return [(turn.start_s, turn.end_s, letters[turn.speaker]) for turn in label_turns(windows, labels)]


def test_windows_of_one_speaker_are_one_turn() -> None:
    assert turns((2.0, "A"), (2.6, "A"), (3.1, "A")) == [(2.0, 4.6, "A")]


def test_the_speaker_changes_halfway_through_the_time_both_windows_cover() -> None:
    assert turns((0.0, "A"), (0.6, "A"), (1.2, "B"), (1.8, "B")) == [(0.0, 1.65, "A"), (1.65, 3.3, "B")]


def test_a_lone_window_is_a_turn_of_its_own() -> None:
    assert turns((0.0, "A"), (0.6, "B"), (1.2, "A")) == [(0.0, 1.05, "A"), (1.05, 1.65, "B"), (1.65, 2.7, "A")]


def test_speakers_apart_keep_the_silence_between_them() -> None:
    assert turns((0.0, "A"), (1.7, "B")) == [(0.0, 1.5, "A"), (1.7, 3.2, "B")]


def test_a_speakers_own_short_pause_belongs_to_the_turn_and_a_long_one_ends_it() -> None:
    assert turns((0.0, "A"), (2.5, "A")) == [(0.0, 4.0, "A")]
    assert turns((0.0, "A"), (2.6, "A")) == [(0.0, 1.5, "A"), (2.6, 4.1, "A")]


def test_windows_that_only_touch_change_where_they_touch() -> None:
    assert turns((0.0, "A"), (1.5, "B")) == [(0.0, 1.5, "A"), (1.5, 3.0, "B")]


def test_labels_may_be_any_numbers_and_times_are_rounded_to_milliseconds() -> None:
    windows = np.array([(0.12345, 1.62345), (0.72345, 2.22345)])
    assert label_turns(windows, np.array([12, 4])) == (
        Turn(0.123, 1.173, "SPEAKER_12"),
        Turn(1.173, 2.223, "SPEAKER_04"),
    )


def test_no_windows_are_no_turns() -> None:
    assert turns() == []


GAPS_S = st.lists(st.tuples(st.sampled_from([0.1, 0.6, 1.5, 1.7, 2.5, 9.0]), st.integers(0, 3)), max_size=30)


@given(GAPS_S)
def test_turns_are_disjoint_cover_all_windows_and_only_a_speakers_own_pauses_besides(
    steps: list[tuple[float, int]],
) -> None:
    starts = np.cumsum([step_s for step_s, _ in steps])
    windows = np.stack([starts, starts + 1.5], axis=1).reshape(-1, 2)
    labels = np.array([label for _, label in steps], dtype=np.int64)
    found = label_turns(windows, labels)
    assert all(one.end_s <= next_one.start_s for one, next_one in pairwise(found))
    assert {int(turn.speaker[-2:]) for turn in found} <= set(labels.tolist())

    def covered(start_s: float, end_s: float) -> bool:
        return any(turn.start_s <= start_s + 2e-3 and end_s - 2e-3 <= turn.end_s for turn in found)

    for (_, end_s), (start_s, _), (one, another) in zip(windows, windows[1:], pairwise(labels), strict=False):
        if start_s > end_s:
            assert covered(end_s, start_s) == (one == another and start_s - end_s <= PAUSE_S)
    assert sum(turn.end_s - turn.start_s for turn in found) == pytest.approx(_expected_s(windows, labels), abs=0.1)


def _expected_s(windows: np.ndarray[tuple[int, int], np.dtype[np.float64]], labels: np.ndarray) -> float:  # type: ignore[type-arg]  # two shapes
    own_pauses_s = sum(
        after[0] - before[1]
        for before, after, one, another in zip(windows, windows[1:], labels, labels[1:], strict=False)
        if 0 < after[0] - before[1] <= PAUSE_S and one == another
    )
    return own_pauses_s + _union_s(windows.tolist())


def _union_s(windows: list[list[float]]) -> float:
    total_s, until_s = 0.0, float("-inf")
    for start_s, end_s in windows:
        total_s += max(0.0, end_s - max(start_s, until_s))
        until_s = max(until_s, end_s)
    return total_s
