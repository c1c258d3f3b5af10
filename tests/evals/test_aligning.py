from __future__ import annotations

from evals.aligning import align
from evals.word_metrics import WordErrors, count_word_errors


def test_each_kind_of_error_is_found_at_its_place() -> None:
    expected, found = "let us start now it is my turn", "let us uh start it is my term"
    alignment = align(expected.split(), found.split())
    assert alignment.matched == ((0, 0), (1, 1), (2, 3), (4, 4), (5, 5), (6, 6))
    assert alignment.substituted == ((7, 7),)
    assert alignment.deleted == (3,)
    assert alignment.inserted == (2,)
    assert alignment.pairs[-1] == (7, 7)
    assert count_word_errors(alignment) == WordErrors(expected=8, substituted=1, deleted=1, inserted=1)


def test_word_error_rate_counts_all_kinds() -> None:
    assert WordErrors(expected=8, substituted=1, deleted=1, inserted=1).rate == 3 / 8


def test_an_empty_transcript_misses_every_word() -> None:
    errors = count_word_errors(align(["a", "b"], []))
    assert errors == WordErrors(2, 0, 2, 0)
    assert errors.rate == 1


def test_words_where_none_were_expected_are_insertions() -> None:
    errors = count_word_errors(align([], ["a", "b"]))
    assert errors == WordErrors(0, 0, 0, 2)
    assert errors.rate is None


def test_silence_heard_as_silence_is_no_error() -> None:
    assert count_word_errors(align([], [])) == WordErrors(0, 0, 0, 0)
