"""Written text and heard words put together."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from erni.engines.timed_text import HeardWord, split_text, spread_text, time_text
from erni.model import Span, Word

WHOLE = Span(0.0, 10.0)


def heard(*texts: str, step_s: float = 1.0) -> list[HeardWord]:
    return [HeardWord(text, number * step_s, (number + 1) * step_s) for number, text in enumerate(texts)]


def times(words: list[Word]) -> list[tuple[str, float, float, str]]:
    return [(word.text, word.start_s, word.end_s, word.timing) for word in words]


def test_bare_words_get_their_punctuation_back() -> None:
    words = time_text('Well, "yes", she said.', heard("Well", "yes", "she", "said"), WHOLE)
    assert times(words) == [
        ("Well,", 0.0, 1.0, "exact"),
        ('"yes",', 1.0, 2.0, "exact"),
        ("she", 2.0, 3.0, "exact"),
        ("said.", 3.0, 4.0, "exact"),
    ]


def test_pieces_of_a_word_become_one() -> None:
    words = time_text(
        "Unbelievable, well-known apples.", heard(" Un", "believable", ",", " well", "known", " apples"), WHOLE
    )
    assert [(word.text, word.start_s, word.end_s) for word in words] == [
        ("Unbelievable,", 0.0, 2.0),
        ("well-known", 3.0, 5.0),
        ("apples.", 5.0, 6.0),
    ]
    assert all(word.timing == "exact" for word in words)


def test_a_border_inside_a_heard_word_is_a_guess() -> None:
    words = time_text("New York", [HeardWord("NewYork", 1.0, 3.1)], WHOLE)
    assert [(word.text, word.timing) for word in words] == [("New", "estimated"), ("York", "estimated")]
    assert words[0].end_s == pytest.approx(1.9)


def test_the_least_sure_piece_counts() -> None:
    pieces = [HeardWord("un", 0, 1, 0.9), HeardWord("do", 1, 2, 0.4), HeardWord("it", 2, 3)]
    assert [word.confidence for word in time_text("undo it", pieces, WHOLE)] == [0.4, None]


def test_other_letters_are_spread_over_their_place_only() -> None:
    words = time_text("pay $20 now", heard("pay", "twenty", "dollars", "now"), WHOLE)
    assert times(words) == [
        ("pay", 0.0, 1.0, "exact"),
        ("$20", 1.0, 3.0, "estimated"),
        ("now", 3.0, 4.0, "exact"),
    ]


def test_what_only_the_text_has_fills_the_gap() -> None:
    words = time_text("one two three", [HeardWord("one", 0, 1), HeardWord("three", 4, 5)], WHOLE)
    assert times(words)[1] == ("two", 1.0, 4.0, "estimated")


def test_what_was_only_heard_is_kept() -> None:
    assert [word.text for word in time_text("one three", heard("one", "two", "three"), WHOLE)] == [
        "one",
        "two",
        "three",
    ]


def test_without_anything_heard_words_last_as_long_as_they_are_written() -> None:
    assert times(spread_text("ab cdef", Span(2.0, 8.0))) == [
        ("ab", 2.0, 4.0, "estimated"),
        ("cdef", 4.0, 8.0, "estimated"),
    ]


def test_punctuation_alone_is_no_word_but_a_symbol_is() -> None:
    assert split_text("– yes … 5 % ♪") == ["yes", "5", "%"]
    assert split_text("...") == []


def test_scripts_without_spaces_fall_into_characters() -> None:
    assert split_text("你好。 Erni です") == ["你", "好。", "Erni", "で", "す"]
    words = time_text("你好。", [HeardWord("你好", 1.0, 2.0)], WHOLE)
    assert [(word.text, word.start_s, word.end_s) for word in words] == [("你", 1.0, 1.5), ("好。", 1.5, 2.0)]


@given(st.lists(st.text("abcXY,.-1% ß", max_size=5), max_size=12), st.text("abcXY,.-1% ß", max_size=40))
def test_no_written_word_is_lost_and_times_stay_in_place(pieces: list[str], text: str) -> None:
    found = time_text(text, heard(*pieces, step_s=0.5), WHOLE)
    kept = iter(word.text for word in found)
    assert all(token in kept for token in split_text(text))
    assert all(0 <= word.start_s <= word.end_s <= 10 for word in found)
    assert [word.start_s for word in found] == sorted(word.start_s for word in found)
