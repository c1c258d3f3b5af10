"""Words between the words that were heard: in order, in speech, near their rough times."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from erni.aligning import best_split, estimate_times, place_words
from erni.model import Span, Word

Case = tuple[list[Word], list[Span | None], list[Span], float]

STEP_S = 1e-3
"""What times are rounded to."""


def untimed(text: str) -> list[Word]:
    return [Word(word, 0.0, 0.0) for word in text.split()]


def places_of(words: list[Word]) -> list[Span]:
    """Each word's own times."""
    return [Span(word.start_s, word.end_s) for word in words]


def in_segments(words: list[Word], size: int) -> list[Span]:
    """Segments of so many words from the first one's start to the last one's end; none of 0."""
    return [
        Span(words[first].start_s, max(word.end_s for word in words[first : first + size]))
        for first in (index - index % size for index in range(len(words) if size else 0))
    ]


def times(words: tuple[Word, ...]) -> list[tuple[float, float]]:
    return [(word.start_s, word.end_s) for word in words]


def test_words_nobody_heard_share_the_speech_by_their_letters() -> None:
    placed = estimate_times(untimed("a abc"), [Span(1.0, 7.0)], 10.0)
    assert times(placed) == [(1.0, 3.0), (3.0, 7.0)]
    assert {word.timing for word in placed} == {"estimated"}


def test_a_word_heard_in_speech_is_aligned_and_stays_where_it_was() -> None:
    placed = place_words(untimed("so it is"), [None, Span(4.0, 4.5), None], [Span(1.0, 7.0)], 10.0)
    assert times(placed) == [(1.0, 4.0), (4.0, 4.5), (4.5, 7.0)]
    assert [word.timing for word in placed] == ["estimated", "aligned", "estimated"]


def test_silence_is_cut_off_a_heard_word() -> None:
    speech = [Span(1.0, 2.0), Span(5.0, 7.0)]
    placed = place_words(untimed("yes well"), [Span(0.5, 1.8), Span(3.0, 5.6)], speech, 10.0)
    assert times(placed) == [(1.0, 1.8), (5.0, 5.6)]


def test_a_word_heard_on_both_sides_of_a_pause_is_where_most_of_it_is() -> None:
    placed = place_words(untimed("well"), [Span(1.8, 5.5)], [Span(1.0, 2.0), Span(5.0, 7.0)], 10.0)
    assert times(placed) == [(5.0, 5.5)]


def test_a_word_heard_in_silence_is_estimated_in_speech() -> None:
    placed = place_words(untimed("well"), [Span(3.0, 4.0)], [Span(1.0, 2.0)], 10.0)
    assert times(placed) == [(1.0, 2.0)]
    assert placed[0].timing == "estimated"


def test_a_word_heard_just_beside_speech_belongs_there() -> None:
    speech = [Span(1.0, 2.0), Span(5.0, 7.0)]
    placed = place_words(untimed("yes well"), [Span(2.1, 2.5), Span(4.5, 4.9)], speech, 10.0)
    assert times(placed) == [(1.6, 2.0), (5.0, 5.4)]
    assert {word.timing for word in placed} == {"aligned"}


def test_a_word_without_room_shares_that_of_its_slower_neighbour() -> None:
    heard = [Span(1.0, 1.2), None, Span(1.2, 2.7)]
    placed = place_words(untimed("one two six"), heard, [Span(0.0, 2.7)], 10.0)
    assert times(placed) == [(1.0, 1.2), (1.2, 1.95), (1.95, 2.7)]
    assert [word.timing for word in placed] == ["aligned", "estimated", "estimated"]


def test_a_word_heard_before_the_one_before_it_is_not_believed() -> None:
    placed = place_words(untimed("one two"), [Span(3.0, 4.0), Span(1.0, 2.0)], [Span(0.0, 6.0)], 6.0)
    assert times(placed) == [(3.0, 4.0), (4.0, 6.0)]
    assert [word.timing for word in placed] == ["aligned", "estimated"]


def test_without_speech_the_whole_chunk_is_taken_for_it() -> None:
    assert times(estimate_times(untimed("ab cd"), [], 6.0)) == [(0.0, 3.0), (3.0, 6.0)]


def test_rough_times_keep_words_where_they_are() -> None:
    rough = [Word("one", 1.0, 1.4), Word("two", 8.0, 8.3)]
    assert times(estimate_times(rough, [Span(0.0, 20.0)], 20.0, places_of(rough))) == [(1.0, 1.4), (8.0, 8.3)]


def test_rough_times_in_silence_move_to_speech() -> None:
    placed = estimate_times(untimed("one"), [Span(1.0, 4.0), Span(5.0, 9.0)], 10.0, [Span(4.2, 4.8)])
    assert times(placed) == [(5.0, 5.04)]


def test_a_word_heard_far_from_its_rough_time_is_not_believed() -> None:
    rough = [Word("one", 1.0, 1.4)]
    placed = place_words(rough, [Span(3.0, 3.5)], [Span(0.0, 20.0)], 20.0, places_of(rough))
    assert times(placed) == [(1.0, 1.4)]
    assert placed[0].timing == "estimated"


def test_in_a_narrow_room_rough_times_say_nothing() -> None:
    rough = [Word("one", 1.0, 1.5), Word("two", 1.2, 1.3), Word("six", 3.0, 3.5)]
    placed = place_words(rough, [Span(1.0, 1.5), None, Span(2.5, 3.0)], [Span(0.0, 20.0)], 20.0, places_of(rough))
    assert times(placed)[1] == (1.5, 2.5)


def test_times_that_mean_nothing_are_not_taken_for_rough_ones() -> None:
    placed = estimate_times([Word("one", 7.0, 8.0)], [Span(1.0, 2.0)], 10.0)
    assert times(placed) == [(1.0, 2.0)]


PAUSE = [Span(0.0, 7.5), Span(12.5, 20.0)]
"""Twenty seconds with five of silence in the middle."""


def forty_words() -> tuple[list[Word], list[Span]]:
    """Forty words said over the two stretches of speech, without times, and where."""
    said = [Span(at_s, at_s + 0.3) for span in PAUSE for at_s in (span.start_s + 0.375 * step for step in range(20))]
    return untimed("word " * 40), said


def test_every_word_heard_within_its_segment_is_believed_however_long_the_segment_is() -> None:
    words, said = forty_words()
    placed = place_words(words, said, PAUSE, 20.0, [Span(0.0, 20.0)] * 40)
    assert {word.timing for word in placed} == {"aligned"}
    assert times(placed) == [(round(span.start_s, 3), round(span.end_s, 3)) for span in said]


def test_the_words_of_a_segment_share_the_speech_in_it() -> None:
    words, said = forty_words()
    for word, span in zip(estimate_times(words, PAUSE, 20.0, [Span(0.0, 20.0)] * 40), said, strict=True):
        assert abs(word.start_s - span.start_s) < 0.4


def test_words_between_heard_ones_stay_between_them_although_their_segment_is_longer() -> None:
    heard = [Span(0.0, 0.5), None, None, Span(16.0, 16.5)]
    placed = place_words(untimed("one two six ten"), heard, [Span(0.0, 20.0)], 20.0, [Span(0.0, 20.0)] * 4)
    assert times(placed)[1:3] == [(0.5, 8.25), (8.25, 16.0)]


def test_a_word_heard_outside_of_its_segment_is_not_believed() -> None:
    segments = [Span(0.0, 4.0), Span(10.0, 14.0)]
    placed = place_words(untimed("one two"), [Span(5.2, 5.5), Span(5.8, 6.2)], [Span(0.0, 20.0)], 20.0, segments)
    assert [word.timing for word in placed] == ["aligned", "estimated"]
    assert times(placed)[1] == (10.0, 14.0)


def test_segments_that_touch_are_filled_one_after_the_other() -> None:
    segments = [Span(0.0, 4.1)] * 2 + [Span(4.0, 8.0)] * 2
    placed = estimate_times(untimed("one two six ten"), [Span(0.0, 20.0)], 20.0, segments)
    assert times(placed) == [(0.0, 2.05), (2.05, 4.1), (4.1, 6.05), (6.05, 8.0)]


def test_segments_of_people_who_talk_at_once_share_their_time() -> None:
    segments = [Span(0.0, 8.0), Span(2.0, 4.0), Span(0.0, 8.0), Span(2.0, 4.0)]
    placed = estimate_times(untimed("one two six ten"), [Span(0.0, 20.0)], 20.0, segments)
    assert times(placed) == [(0.0, 2.0), (2.0, 4.0), (4.0, 6.0), (6.0, 8.0)]


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


@given(cases(), st.integers(0, 4))
def test_no_word_is_lost_changed_or_out_of_order(case: Case, size: int) -> None:
    words, heard, speech, duration_s = case
    placed = place_words(words, heard, speech, duration_s, in_segments(words, size))
    assert [word.text for word in placed] == [word.text for word in words]
    assert all(0 <= word.start_s <= word.end_s <= duration_s for word in placed)
    assert all(before.end_s <= after.start_s for before, after in pairwise(placed))


@given(cases(), st.integers(0, 4))
def test_no_word_lies_in_silence(case: Case, size: int) -> None:
    words, heard, speech, duration_s = case
    for word in place_words(words, heard, speech or [Span(0, duration_s)], duration_s, in_segments(words, size)):
        assert any(
            span.start_s - STEP_S <= word.start_s and word.end_s <= span.end_s + STEP_S
            for span in speech or [Span(0, duration_s)]
        )


@given(cases())
def test_a_heard_word_is_never_widened_nor_moved_but_out_of_silence_beside_speech(case: Case) -> None:
    words, heard, speech, duration_s = case
    for word, span in zip(place_words(words, heard, speech, duration_s), heard, strict=True):
        if word.timing == "aligned":
            assert span is not None
            assert word.end_s - word.start_s <= span.duration_s + STEP_S
            reach_s = 0.3 + span.duration_s + STEP_S
            assert span.start_s - reach_s <= word.start_s <= word.end_s <= span.end_s + reach_s


@given(cases())
def test_words_with_rough_times_stay_near_them_where_all_is_speech(case: Case) -> None:
    words, heard, _, duration_s = case
    for before, after in zip(words, place_words(words, heard, [], duration_s, places_of(words)), strict=True):
        assert abs(after.start_s - before.start_s) < 1.5 + 0.2 + STEP_S
