"""Words between the words that were heard: in order, in speech, near their rough times."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from erni.aligning import best_split, estimate_times, place_words
from erni.capabilities import Timing
from erni.model import Span, Word

Case = tuple[list[Word], list[Span | None], list[Span], float]

STEP_S = 1e-3
"""What times are rounded to."""


def untimed(text: str) -> list[Word]:
    return [Word(word, 0.0, 0.0) for word in text.split()]


def times(words: tuple[Word, ...]) -> list[tuple[float, float]]:
    return [(word.start_s, word.end_s) for word in words]


def test_words_nobody_heard_share_the_speech_by_their_letters() -> None:
    placed = estimate_times(untimed("a abc"), [Span(1.0, 7.0)], 10.0)
    assert times(placed) == [(1.0, 3.0), (3.0, 7.0)]
    assert {word.timing for word in placed} == {"estimated"}


def test_a_word_heard_in_speech_is_aligned_and_stays_where_it_was() -> None:
    placed = place_words(untimed("so it is"), [None, Span(4.0, 4.5), None], [Span(1.0, 7.0)], 10.0, "none")
    assert times(placed) == [(1.0, 4.0), (4.0, 4.5), (4.5, 7.0)]
    assert [word.timing for word in placed] == ["estimated", "aligned", "estimated"]


def test_silence_is_cut_off_a_heard_word() -> None:
    speech = [Span(1.0, 2.0), Span(5.0, 7.0)]
    placed = place_words(untimed("yes well"), [Span(0.5, 1.8), Span(3.0, 5.6)], speech, 10.0, "none")
    assert times(placed) == [(1.0, 1.8), (5.0, 5.6)]


def test_a_word_heard_on_both_sides_of_a_pause_is_where_most_of_it_is() -> None:
    placed = place_words(untimed("well"), [Span(1.8, 5.5)], [Span(1.0, 2.0), Span(5.0, 7.0)], 10.0, "none")
    assert times(placed) == [(5.0, 5.5)]


def test_a_word_heard_in_silence_is_estimated_in_speech() -> None:
    placed = place_words(untimed("well"), [Span(3.0, 4.0)], [Span(1.0, 2.0)], 10.0, "none")
    assert times(placed) == [(1.0, 2.0)]
    assert placed[0].timing == "estimated"


def test_a_word_heard_just_beside_speech_belongs_there() -> None:
    speech = [Span(1.0, 2.0), Span(5.0, 7.0)]
    placed = place_words(untimed("yes well"), [Span(2.1, 2.5), Span(4.5, 4.9)], speech, 10.0, "none")
    assert times(placed) == [(1.6, 2.0), (5.0, 5.4)]
    assert {word.timing for word in placed} == {"aligned"}


def test_a_word_without_room_shares_that_of_its_slower_neighbour() -> None:
    heard = [Span(1.0, 1.2), None, Span(1.2, 2.7)]
    placed = place_words(untimed("one two six"), heard, [Span(0.0, 2.7)], 10.0, "none")
    assert times(placed) == [(1.0, 1.2), (1.2, 1.95), (1.95, 2.7)]
    assert [word.timing for word in placed] == ["aligned", "estimated", "estimated"]


def test_a_word_heard_before_the_one_before_it_is_not_believed() -> None:
    placed = place_words(untimed("one two"), [Span(3.0, 4.0), Span(1.0, 2.0)], [Span(0.0, 6.0)], 6.0, "none")
    assert times(placed) == [(3.0, 4.0), (4.0, 6.0)]
    assert [word.timing for word in placed] == ["aligned", "estimated"]


def test_without_speech_the_whole_chunk_is_taken_for_it() -> None:
    assert times(estimate_times(untimed("ab cd"), [], 6.0)) == [(0.0, 3.0), (3.0, 6.0)]


def test_rough_times_keep_words_where_they_are() -> None:
    rough = [Word("one", 1.0, 1.4), Word("two", 8.0, 8.3)]
    assert times(estimate_times(rough, [Span(0.0, 20.0)], 20.0, "segment")) == [(1.0, 1.4), (8.0, 8.3)]


def test_rough_times_in_silence_move_to_speech() -> None:
    placed = estimate_times([Word("one", 4.2, 4.8)], [Span(1.0, 4.0), Span(5.0, 9.0)], 10.0, "segment")
    assert times(placed) == [(5.0, 5.0)]


def test_a_word_heard_far_from_its_rough_time_is_not_believed() -> None:
    rough = [Word("one", 1.0, 1.4)]
    placed = place_words(rough, [Span(3.0, 3.5)], [Span(0.0, 20.0)], 20.0, "segment")
    assert times(placed) == [(1.0, 1.4)]
    assert placed[0].timing == "estimated"


def test_in_a_narrow_room_rough_times_say_nothing() -> None:
    rough = [Word("one", 1.0, 1.5), Word("two", 1.2, 1.3), Word("six", 3.0, 3.5)]
    placed = place_words(rough, [Span(1.0, 1.5), None, Span(2.5, 3.0)], [Span(0.0, 20.0)], 20.0, "segment")
    assert times(placed)[1] == (1.5, 2.5)


def test_times_that_mean_nothing_are_not_taken_for_rough_ones() -> None:
    placed = estimate_times([Word("one", 7.0, 8.0)], [Span(1.0, 2.0)], 10.0, "none")
    assert times(placed) == [(1.0, 2.0)]


@pytest.mark.parametrize(
    ("here", "there", "count"),
    [
        ([0, 0, -9], [-9, -9, 0], 2),
        ([-9, -9], [0, 0], 0),
        ([0, 0], [-9, -9], 2),
        ([0, -5, 0], [-9, 0, -9], 3),
        ([], [], 0),
    ],
)
def test_words_are_split_where_both_windows_fit_best(here: list[float], there: list[float], count: int) -> None:
    assert best_split(here, there) == count


@st.composite
def cases(draw: st.DrawFn) -> Case:
    """Words with rough times in order, some heard somewhere, and speech: sorted and disjoint, as VAD finds it."""
    duration_s = draw(st.floats(0.5, 90))
    instants = st.floats(0, duration_s)
    borders = sorted(draw(st.sets(instants, max_size=12)))
    speech = [Span(start, end) for start, end in zip(borders[::2], borders[1::2], strict=False)]
    spans = st.tuples(instants, instants).map(lambda pair: Span(min(pair), max(pair)))
    heard = draw(st.lists(st.none() | spans, max_size=25))
    hints = sorted(draw(st.lists(instants, min_size=len(heard), max_size=len(heard))))
    texts = draw(st.lists(st.text(min_size=1, max_size=9), min_size=len(heard), max_size=len(heard)))
    words = [Word(text, hint, min(duration_s, hint + 0.2)) for text, hint in zip(texts, hints, strict=True)]
    return words, heard, speech, duration_s


@given(cases(), st.sampled_from(["none", "segment"]))
def test_no_word_is_lost_changed_or_out_of_order(case: Case, timing: Timing) -> None:
    words, heard, speech, duration_s = case
    placed = place_words(words, heard, speech, duration_s, timing)
    assert [word.text for word in placed] == [word.text for word in words]
    assert all(0 <= word.start_s <= word.end_s <= duration_s for word in placed)
    assert all(before.end_s <= after.start_s for before, after in pairwise(placed))


@given(cases(), st.sampled_from(["none", "segment"]))
def test_no_word_lies_in_silence(case: Case, timing: Timing) -> None:
    words, heard, speech, duration_s = case
    for word in place_words(words, heard, speech or [Span(0, duration_s)], duration_s, timing):
        assert any(
            span.start_s - STEP_S <= word.start_s and word.end_s <= span.end_s + STEP_S
            for span in speech or [Span(0, duration_s)]
        )


@given(cases())
def test_a_heard_word_is_never_widened_nor_moved_but_out_of_silence_beside_speech(case: Case) -> None:
    words, heard, speech, duration_s = case
    for word, span in zip(place_words(words, heard, speech, duration_s, "none"), heard, strict=True):
        if word.timing == "aligned":
            assert span is not None
            assert word.end_s - word.start_s <= span.duration_s + STEP_S
            reach_s = 0.3 + span.duration_s + STEP_S
            assert span.start_s - reach_s <= word.start_s <= word.end_s <= span.end_s + reach_s


@given(cases())
def test_words_with_rough_times_stay_near_them_where_all_is_speech(case: Case) -> None:
    words, heard, _, duration_s = case
    for before, after in zip(words, place_words(words, heard, [], duration_s, "segment"), strict=True):
        assert abs(after.start_s - before.start_s) < 1.5 + 0.2 + STEP_S
