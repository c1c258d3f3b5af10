from __future__ import annotations

import pytest

from erni.model import Span, Word
from erni.seams import SharedAudio, merge_words, normalise

SHARED = SharedAudio(Span(9.0, 11.0), cut_s=10.0)


@pytest.mark.parametrize(
    ("text", "normalised"),
    [("Hello,", "hello"), ("don't", "dont"), ("STRASSE", "strasse"), ("...", "..."), ("5%", "5")],
)
def test_normalised_text_has_letters_and_digits_only(text: str, normalised: str) -> None:
    assert normalise(text) == normalised


def test_shared_audio_holds_what_both_sides_may_have_heard() -> None:
    assert SHARED.holds(Word("in", 9.5, 9.9))
    assert SHARED.holds(Word("half", 8.8, 9.2))
    assert not SHARED.holds(Word("before", 8.2, 8.8))
    assert not SHARED.holds(Word("behind", 11.2, 11.4))


def test_a_pair_before_the_cut_is_the_lefts_and_behind_it_the_rights() -> None:
    left = (Word("a", 9.3, 9.5, 0.1), Word("b", 10.3, 10.5, 0.1))
    right = (Word("a", 9.3, 9.5, 0.2), Word("b", 10.3, 10.5, 0.2))
    merged = merge_words(left, right, SHARED)
    assert [word.confidence for word in merged.words] == [0.1, 0.2]
    assert (merged.matched, merged.dropped) == (2, ())


def test_a_doubtful_word_gives_way_on_its_own_side_of_the_cut() -> None:
    left = (Word("a", 9.0, 9.3, 0.1),)
    right = (Word("a", 9.02, 9.3, 0.2),)
    close = SharedAudio(Span(9.0, 11.0), cut_s=9.1)
    assert merge_words(left, right, close).words == left


def test_of_two_equal_words_in_a_row_each_finds_its_own_twin() -> None:
    left = (Word("no", 9.2, 9.4), Word("no", 9.4, 9.6))
    right = (Word("no", 9.4, 9.6), Word("no", 9.6, 9.8))
    merged = merge_words(left, right, SHARED)
    assert [word.start_s for word in merged.words] == [9.2, 9.4, 9.6]
    assert merged.matched == 1


def test_words_in_crossed_order_are_both_kept() -> None:
    left = (Word("red", 9.3, 9.5), Word("blue", 9.5, 9.7))
    right = (Word("blue", 9.3, 9.5), Word("red", 9.5, 9.7))
    merged = merge_words(left, right, SHARED)
    assert {word.text for word in merged.words} == {"red", "blue"}


def test_a_number_and_its_spelled_out_form_are_one_thing() -> None:
    left = (Word("1999", 9.3, 9.9),)
    right = (Word("nineteen", 9.3, 9.6), Word("ninety", 9.6, 9.75), Word("nine", 9.75, 9.9))
    merged = merge_words(left, right, SHARED)
    assert [word.text for word in merged.words] == ["1999"]
    assert merged.dropped == ("nineteen", "ninety", "nine")


def test_text_piled_up_at_the_edge_does_not_displace_a_whole_word() -> None:
    left = (Word("then", 10.3, 10.6), Word("unbelievably", 10.98, 11.0), Word("so", 10.98, 11.0))
    right = (Word("then", 10.3, 10.6), Word("stop", 10.9, 11.2))
    merged = merge_words(left, right, SHARED)
    assert [word.text for word in merged.words] == ["then", "stop"]


def test_a_sentence_with_a_doubtful_word_is_not_displaced_by_one_stretched_word() -> None:
    left = (
        Word("we", 9.6, 9.9),
        Word("really", 9.9, 10.3),
        Word("mean", 10.3, 10.6),
        Word("th", 10.6, 10.98),
    )
    right = (Word("mhm", 9.5, 10.95),)
    merged = merge_words(left, right, SHARED)
    assert [word.text for word in merged.words] == ["we", "really", "mean", "th"]


@pytest.mark.parametrize(("apart_s", "count"), [(0.55, 1), (0.65, 2)])
def test_one_word_placed_at_two_times_is_one_word_up_to_a_limit(apart_s: float, count: int) -> None:
    left, right = (Word("maybe", 9.4, 9.6),), (Word("maybe", 9.4 + apart_s, 9.6 + apart_s),)
    assert len(merge_words(left, right, SHARED).words) == count


@pytest.mark.parametrize(("text", "matched"), [("neighborhood", 1), ("them", 1), ("a", 0)])
def test_words_alike_in_most_letters_are_one_word(text: str, matched: int) -> None:
    left = Word("neighbourhood" if len(text) > 4 else "they", 9.4, 9.7)
    assert merge_words((left,), (Word(text, 9.4, 9.7),), SHARED).matched == matched
