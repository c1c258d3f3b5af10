from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from erni.model import Span
from evals.aligning import Alignment, align
from evals.borders import BorderErrors, find_border_errors, find_border_words
from evals.normalising import SpokenWord

Say = Callable[..., list[SpokenWord]]


def laid(expected: list[SpokenWord], found: list[SpokenWord]) -> Alignment:
    return align([word.text for word in expected], [word.text for word in found])


def test_words_within_a_second_of_a_change_are_border_words(say: Say) -> None:
    # Words begin at 0, 1, 2 ... and last 0.5 s: the change lies from 2.5 to 3; middles 2.25 and 3.25 are within 1 s,
    # 1.25 is 1.25 s away.
    assert find_border_words(say("a b c d e f", "AAABBB")) == {2, 3}


def test_a_long_pause_belongs_to_the_change(say: Say) -> None:
    assert find_border_words(say("a b") + say("c d", "B", at_s=60.0)) == {1, 2}


def test_one_speaker_has_no_borders(say: Say) -> None:
    assert find_border_words(say("a b c")) == set()
    assert find_border_words([]) == set()


def test_a_word_said_into_anothers_sentence_has_a_border_on_both_sides(say: Say) -> None:
    assert find_border_words(say("a b c d e f g", "AAABAAA")) == {2, 3, 4}


def test_people_who_talk_at_once_are_at_a_border() -> None:
    words = [SpokenWord("a", Span(0, 1), "A"), SpokenWord("b", Span(0.5, 1.5), "B")]
    assert find_border_words(words) == {0, 1}


def test_swapped_speakers_cost_nothing(say: Say) -> None:
    expected, found = say("a b c d", "AABB"), say("a b c d", "2211")
    assert find_border_errors(expected, found, laid(expected, found)) == (BorderErrors(2, 0), [])


def test_a_border_word_at_the_wrong_speaker_counts_once(say: Say) -> None:
    expected, found = say("a b c d e f", "AAABBB"), say("a b c d e f", "112222")
    assert find_border_errors(expected, found, laid(expected, found)) == (BorderErrors(2, 1), [2])


def test_a_wrong_speaker_far_from_any_change_is_no_border_error(say: Say) -> None:
    expected, found = say("a b c d e f", "AAABBB"), say("a b c d e f", "211222")
    assert find_border_errors(expected, found, laid(expected, found))[0].errors == 0


def test_a_misheard_word_is_judged_and_a_missing_one_is_not(say: Say) -> None:
    expected = say("a b c d e f", "AAABBB")
    misheard = [replace(word, text="x") if word.text == "c" else word for word in say("a b c d e f", "112222")]
    assert find_border_errors(expected, misheard, laid(expected, misheard))[0] == BorderErrors(2, 1)
    missing = [word for word in say("a b c d e f", "111222") if word.text != "c"]
    assert find_border_errors(expected, missing, laid(expected, missing))[0] == BorderErrors(1, 0)


def test_a_border_word_without_speaker_is_wrong(say: Say) -> None:
    expected, found = say("a b c d", "AABB"), say("a b c d", "1122")
    found[1] = replace(found[1], speaker=None)
    assert find_border_errors(expected, found, laid(expected, found)) == (BorderErrors(2, 1), [1])


def test_nothing_found_leaves_nothing_to_judge(say: Say) -> None:
    expected = say("a b c d", "AABB")
    errors, wrong = find_border_errors(expected, [], laid(expected, []))
    assert (errors, errors.rate, wrong) == (BorderErrors(0, 0), None, [])
