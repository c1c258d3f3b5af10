"""What the measurement of word times counts."""

from __future__ import annotations

from erni.model import Span, Word
from evals.word_times import GivenWord, PlacedWord, describe, errors_of, segments_of, spoil

SAID = [GivenWord(f"w{number}", Span(number, number + 0.5)) for number in range(1000)]


def test_nothing_is_spoiled_unless_asked_for() -> None:
    assert spoil(SAID, 0.0, "seed") == SAID


def test_about_the_share_asked_for_is_spoiled_in_three_ways() -> None:
    spoiled = spoil(SAID, 0.2, "seed")
    added = sum(word.truth is None for word in spoiled)
    missing = len(SAID) + added - len(spoiled)
    truths = {word.truth: word.text for word in SAID}
    replaced = sum(word.truth is not None and truths[word.truth] != word.text for word in spoiled)
    assert 30 < added < 70
    assert 30 < missing < 70
    assert 70 < replaced < 130


def test_the_same_seed_spoils_the_same_words() -> None:
    assert spoil(SAID, 0.2, "a") == spoil(SAID, 0.2, "a") != spoil(SAID, 0.2, "b")


def test_words_nobody_said_have_no_error() -> None:
    given = [GivenWord("one", Span(1.0, 1.5)), GivenWord("two", None)]
    placed = [Word("one", 0.75, 1.5, timing="aligned"), Word("two", 3.0, 3.5, timing="estimated")]
    assert errors_of(given, placed) == [PlacedWord("aligned", -0.25)]


def test_a_segment_lasts_from_its_first_word_to_its_last() -> None:
    words = [*SAID[:2], GivenWord("nobody", None), SAID[2]]
    assert segments_of(words, 3) == [Span(0, 1.5)] * 3 + [Span(2, 2.5)]
    assert segments_of([*SAID[:2], GivenWord("nobody", None)], 2) == []


def test_a_line_shows_share_median_and_bias() -> None:
    words = [PlacedWord("aligned", error_s) for error_s in (-0.5, 0.1, 0.2)]
    assert describe("aligned", words, 4).split() == ["aligned", "75.0%", "0.200", "0.440", "+0.100"]
    assert describe("estimated", [], 4).split() == ["estimated", "0.0%"]
