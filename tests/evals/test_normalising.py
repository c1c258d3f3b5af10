from __future__ import annotations

import pytest

from erni.model import Span
from evals.normalising import SpokenWord, normalise, normalise_words


@pytest.mark.parametrize(
    ("text", "language", "words"),
    [
        ("Don't worry, I'm OK.", "en", "do not worry i am ok"),
        ("Let\u2019s", "en", "let us"),
        ("We won't, and can't!", "en", "we will not and can not"),
        ("Twenty five well-known names", "en", "25 well known names"),
        ("um, the colour [laughs] of uh money", "en", "the color of money"),
        ("Für die Ödnis, 3.", "de", "für die ödnis 3"),
        ("L'homme", "fr", "l homme"),
        ("你好。", "zh", "你 好"),
        ("Don't", None, "don t"),
    ],
)
def test_writing_is_normalised_by_the_rules_of_its_language(text: str, language: str | None, words: str) -> None:
    assert normalise(text, language) == words.split()


def test_words_that_become_one_share_its_time() -> None:
    words = [
        SpokenWord("about", Span(0, 1), "A"),
        SpokenWord("twenty", Span(1, 2), "A"),
        SpokenWord("five,", Span(2, 3), "A"),
        SpokenWord("yes!", Span(3, 4), "B"),
    ]
    assert normalise_words(words, "en") == [
        SpokenWord("about", Span(0, 1), "A"),
        SpokenWord("25", Span(1, 3), "A"),
        SpokenWord("yes", Span(3, 4), "B"),
    ]


def test_a_word_that_becomes_two_gives_both_its_time_and_speaker() -> None:
    assert normalise_words([SpokenWord("Don't", Span(1, 2), "B")], "en") == [
        SpokenWord("do", Span(1, 2), "B"),
        SpokenWord("not", Span(1, 2), "B"),
    ]


def test_fillers_vanish_with_their_times() -> None:
    words = [SpokenWord("Um,", Span(0, 1), "A"), SpokenWord("yes", Span(1, 2), "B")]
    assert normalise_words(words, "en") == [SpokenWord("yes", Span(1, 2), "B")]


@pytest.mark.parametrize("texts", [[], ["um"], ["[noise]"]])
def test_nothing_to_compare_is_no_words(texts: list[str]) -> None:
    assert normalise_words([SpokenWord(text) for text in texts], "en") == []


def test_a_bracket_over_several_words_leaves_the_others_where_they_are() -> None:
    words = [SpokenWord(text, Span(at, at + 1), "A") for at, text in enumerate(["so", "[door", "slams]", "then"])]
    assert normalise_words(words, "en") == [SpokenWord("so", Span(0, 1), "A"), SpokenWord("then", Span(3, 4), "A")]


def test_a_word_without_time_has_no_middle() -> None:
    with pytest.raises(ValueError, match="not known"):
        _ = SpokenWord("hello").middle_s
