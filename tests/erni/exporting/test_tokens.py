"""Words become pieces that fit a line."""

from __future__ import annotations

from erni.exporting.tokens import make_label, make_tokens
from erni.model import Word


def test_word_stays_whole_with_its_times() -> None:
    (token,) = make_tokens([Word("it's", 1.2344, 1.5)])
    assert (token.text, token.start_ms, token.end_ms, token.lead) == ("it's", 1234, 1500, " ")


def test_white_space_inside_a_word_may_break() -> None:
    assert [token.text for token in make_tokens([Word("New\n York", 0.0, 1.0)])] == ["New", "York"]


def test_word_without_text_is_left_out() -> None:
    assert list(make_tokens([Word(" ", 0.0, 1.0), Word("", 1.0, 2.0)])) == []


def test_wide_word_is_cut_after_punctuation_and_shares_its_time() -> None:
    tokens = list(make_tokens([Word("x" * 29 + "/" + "," + "y" * 31, 0.0, 6.2)]))
    assert [token.text for token in tokens] == ["x" * 29 + "/,", "y" * 31]
    assert [(token.start_ms, token.end_ms) for token in tokens] == [(0, 3100), (3100, 6200)]
    assert [token.lead for token in tokens] == [" ", ""]


def test_wide_word_is_never_cut_before_a_combining_mark() -> None:
    tokens = list(make_tokens([Word("x" * 42 + "\N{COMBINING ACUTE ACCENT}" + "y", 0.0, 1.0)]))
    assert [token.text for token in tokens] == ["x" * 41, "x\N{COMBINING ACUTE ACCENT}y"]


def test_times_that_run_backwards_are_straightened() -> None:
    tokens = list(make_tokens([Word("a", 5.0, 4.0), Word("b", 3.0, 9.0)]))
    assert [(token.start_ms, token.end_ms) for token in tokens] == [(5000, 5000), (5000, 9000)]


def test_no_token_lasts_longer_than_a_caption() -> None:
    (token,) = make_tokens([Word("hm", 1.0, 31.0)])
    assert token.end_ms == 8000


def test_label_never_overfills_a_line() -> None:
    assert len(make_label("n" * 60, 0).text) == 42
