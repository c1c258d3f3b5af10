"""The arithmetic of slots: ideals, losses, lines."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.efficiency import (
    Losses,
    Span,
    busy_share,
    even_split_s,
    find_losses,
    fit_line,
    list_schedule_s,
    longest_first_s,
)

DURATIONS = (3.0, 1.0, 1.0, 3.0, 1.0)


def test_an_even_split_knows_no_whole_pieces() -> None:
    assert even_split_s(DURATIONS, 4) == 2.25


def test_a_list_schedule_gives_each_piece_to_the_slot_that_is_free_first() -> None:
    # Slots after 3 | 1, 1 -> 3 | 2, then 3 -> 5 on the second, 1 -> 4 on the first.
    assert list_schedule_s(DURATIONS, 2) == 5.0


def test_longest_first_ends_no_later_than_the_given_order_here() -> None:
    assert longest_first_s(DURATIONS, 2) == 5.0
    assert longest_first_s((1.0, 1.0, 2.0), 2) == 2.0
    assert list_schedule_s((1.0, 1.0, 2.0), 2) == 3.0


def test_more_slots_than_pieces_take_as_long_as_the_longest_piece() -> None:
    assert list_schedule_s(DURATIONS, 9) == longest_first_s(DURATIONS, 9) == 3.0


@given(st.lists(st.floats(0.1, 100.0), min_size=1, max_size=40), st.integers(1, 12))
def test_no_schedule_of_whole_pieces_beats_the_even_split_or_the_longest_piece(
    durations: list[float], slots: int
) -> None:
    floor_s = max(even_split_s(durations, slots), *durations) * (1 - 1e-9)
    assert list_schedule_s(durations, slots) >= floor_s
    assert floor_s <= longest_first_s(durations, slots) <= 4 / 3 * floor_s + max(durations)


def test_losses_name_begin_pauses_and_end() -> None:
    # Two slots; the second begins 1 s late; 0.5 s between pieces; one slot is done 3 s before the other.
    spans = [Span(0.0, 4.0), Span(1.0, 5.0), Span(4.5, 6.5), Span(5.5, 9.5)]
    assert find_losses(spans, 2) == Losses(ramp_s=1.0, gap_s=0.5, tail_s=3.0)


def test_losses_of_fewer_pieces_than_slots_have_no_pauses() -> None:
    assert find_losses([Span(0.0, 4.0), Span(1.0, 5.0)], 8) == Losses(ramp_s=1.0, gap_s=0.0, tail_s=1.0)


def test_busy_share_is_work_over_time_of_all_slots() -> None:
    assert busy_share([Span(0.0, 4.0), Span(2.0, 4.0)], 2) == 0.75


def test_the_line_through_exact_points_is_that_line() -> None:
    slope, intercept = fit_line([(1, 5.0), (10, 23.0), (25, 53.0)])
    assert (slope, intercept) == (pytest.approx(2.0), pytest.approx(3.0))
