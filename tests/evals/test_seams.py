from __future__ import annotations

from collections.abc import Callable

from erni.model import Span
from evals.aligning import Alignment, align
from evals.normalising import SpokenWord
from evals.seams import SeamErrors, count_seam_errors, place_words

Say = Callable[..., list[SpokenWord]]


def laid(expected: list[SpokenWord], found: list[SpokenWord]) -> Alignment:
    return align([word.text for word in expected], [word.text for word in found])


def count(expected: list[SpokenWord], found: list[SpokenWord], *seams_s: float) -> SeamErrors:
    return count_seam_errors(expected, found, laid(expected, found), seams_s)


def test_a_word_said_once_and_written_twice_at_a_seam_is_a_duplicate(say: Say) -> None:
    # "three" ends at 2.5; the seam lies at 2.7 and the second chunk begins with the same word.
    found = [*say("one two three"), SpokenWord("three", Span(2.8, 3.0), "A"), *say("four five", at_s=3.0)]
    assert count(say("one two three four five"), found, 2.7) == SeamErrors(seams=1, duplicates=1, losses=0)


def test_a_duplicate_far_from_the_seam_is_not_the_seams(say: Say) -> None:
    found = [*say("one two three"), SpokenWord("three", Span(2.8, 3.0), "A"), *say("four five", at_s=3.0)]
    assert count(say("one two three four five"), found, 30.0) == SeamErrors(1, 0, 0)


def test_an_inserted_word_that_repeats_nothing_is_no_duplicate(say: Say) -> None:
    found = [*say("one two three"), SpokenWord("oh", Span(2.8, 3.0), "A"), *say("four five", at_s=3.0)]
    assert count(say("one two three four five"), found, 2.7) == SeamErrors(1, 0, 0)


def test_a_word_repeated_elsewhere_is_no_duplicate_at_the_seam(say: Say) -> None:
    expected = say("one two three four five six seven")
    found = [*say("one two three four five six"), SpokenWord("one", Span(5.6, 5.9), "A"), *say("seven", at_s=6.0)]
    assert count(expected, found, 5.7) == SeamErrors(1, 0, 0)


def test_a_word_missing_at_a_seam_is_lost(say: Say) -> None:
    expected = say("one two three four five")
    found = [word for word in say("one two three four five") if word.text != "three"]
    assert count(expected, found, 2.7) == SeamErrors(1, 0, losses=1)
    assert count(expected, found, 30.0) == SeamErrors(1, 0, 0)


def test_a_word_between_two_near_seams_is_lost_once(say: Say) -> None:
    expected = say("one two three four five")
    found = [word for word in expected if word.text != "three"]
    assert count(expected, found, 1.9, 2.7) == SeamErrors(2, 0, 1)


def test_everything_is_counted_without_a_seam_as_nothing(say: Say) -> None:
    assert count(say("one two"), []) == SeamErrors(0, 0, 0)


def test_words_without_times_take_those_of_the_words_found(say: Say) -> None:
    expected = [SpokenWord(text) for text in ["one", "two", "three", "four"]]
    found = [word for word in say("one two three four") if word.text not in {"two", "three"}]
    placed = place_words(expected, found, laid(expected, found))
    # Found are 0 - 0.5 s and 3 - 3.5 s; the two missing words share the 2.5 s between.
    assert [word.span for word in placed] == [
        Span(0, 0.5),
        Span(0.5 + 2.5 / 3, 0.5 + 2.5 / 3),
        Span(0.5 + 5 / 3, 0.5 + 5 / 3),
        Span(3, 3.5),
    ]


def test_words_missing_at_an_end_are_placed_at_their_neighbour(say: Say) -> None:
    expected = [SpokenWord(text) for text in ["one", "two", "three"]]
    placed = place_words(expected, found := say("two", at_s=7.0), laid(expected, found))
    assert [word.middle_s for word in placed] == [7.0, 7.25, 7.5]


def test_words_of_which_nothing_was_found_are_placed_at_the_beginning() -> None:
    expected = [SpokenWord("one"), SpokenWord("two")]
    assert [word.middle_s for word in place_words(expected, [], laid(expected, []))] == [0.0, 0.0]
