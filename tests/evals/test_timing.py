from __future__ import annotations

from collections.abc import Callable

import pytest

from erni.model import Span
from evals.aligning import align
from evals.normalising import SpokenWord
from evals.timing import InventedWords, WordTimes, count_invented_words, measure_word_times

Say = Callable[..., list[SpokenWord]]


def test_words_outside_all_speech_are_invented(say: Say) -> None:
    # Middles at 0.25, 1.25 ... 4.25; speech from 1 to 2 s reaches from 0.5 to 2.5 s, grown.
    assert count_invented_words(say("a b c d e"), [Span(1, 2)], 10.0) == InventedWords(words=3, silence_s=8.0)


def test_speech_reaches_half_a_second_further_on_both_sides() -> None:
    words = [SpokenWord("a", Span(0.5, 0.52)), SpokenWord("b", Span(2.48, 2.5)), SpokenWord("c", Span(2.5, 2.52))]
    assert count_invented_words(words, [Span(1, 2)], 10.0).words == 1


def test_every_word_of_a_wordless_recording_is_invented(say: Say) -> None:
    assert count_invented_words(say("thanks for watching"), [], 30.0) == InventedWords(3, 30.0)


def test_speech_that_overlaps_leaves_its_silence_counted_once(say: Say) -> None:
    speech = [Span(5, 6), Span(1, 4), Span(2, 3)]
    assert count_invented_words([], speech, 10.0) == InventedWords(0, pytest.approx(4.0))  # 0 - 0.5 and 6.5 - 10


def test_speech_ends_with_the_recording() -> None:
    assert count_invented_words([], [Span(0, 9.8), Span(20, 30)], 10.0) == InventedWords(0, 0.0)


def test_only_rightly_recognised_words_tell_about_times(say: Say) -> None:
    expected, found = say("a b c"), say("a x c", at_s=0.1)
    times = measure_word_times(expected, found, align(["a", "b", "c"], ["a", "x", "c"]))
    assert times.errors_s == pytest.approx((0.1, 0.1))


def test_early_and_late_are_both_errors() -> None:
    assert WordTimes((0.1, 0.3, 0.2)).median_s == pytest.approx(0.2)
    expected = [SpokenWord("a", Span(1.0, 1.5))]
    early = [SpokenWord("a", Span(0.8, 1.5))]
    assert measure_word_times(expected, early, align(["a"], ["a"])).errors_s == pytest.approx((0.2,))


def test_the_95th_percentile_lies_between_its_neighbours() -> None:
    assert WordTimes(tuple(number / 100 for number in range(101))).percentile_95_s == pytest.approx(0.95)


def test_no_word_has_no_time() -> None:
    assert (WordTimes(()).median_s, WordTimes(()).percentile_95_s) == (None, None)
