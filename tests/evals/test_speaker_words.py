"""Against answers worked out by hand. meeteval has no wheel, so it may be missing."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from evals.normalising import SpokenWord
from evals.speaker_words import compare_speaker_words, has_meeteval
from evals.word_metrics import WordErrors

Say = Callable[..., list[SpokenWord]]
needs_meeteval = pytest.mark.skipif(not has_meeteval(), reason="meeteval is not installed; it needs a C++ compiler")


@needs_meeteval
def test_swapped_labels_cost_nothing(say: Say) -> None:
    errors = compare_speaker_words(say("good morning yes hello", "AABB"), say("good morning yes hello", "2211"))
    assert errors == WordErrors(4, 0, 0, 0)


@needs_meeteval
def test_a_word_at_the_wrong_speaker_is_missing_there_and_too_much_here(say: Say) -> None:
    errors = compare_speaker_words(say("good morning yes hello", "AABB"), say("good morning yes hello", "1112"))
    assert errors == WordErrors(4, 0, 1, 1)


@needs_meeteval
def test_a_right_word_at_a_far_time_is_wrong_with_a_collar(say: Say) -> None:
    expected, late = say("good morning"), say("good morning", at_s=60.0)
    assert compare_speaker_words(expected, late) == WordErrors(2, 0, 0, 0)
    assert compare_speaker_words(expected, late, collar_s=5.0) == WordErrors(2, 0, 2, 2)


@needs_meeteval
def test_a_word_within_the_collar_is_right(say: Say) -> None:
    assert compare_speaker_words(say("good"), say("good", at_s=3.0), collar_s=5.0) == WordErrors(1, 0, 0, 0)


@needs_meeteval
def test_words_without_speaker_count_as_one_more_speaker(say: Say) -> None:
    nobodys = [SpokenWord(word.text, word.span) for word in say("yes hello")]
    assert compare_speaker_words(say("yes hello"), nobodys) == WordErrors(2, 0, 0, 0)


@needs_meeteval
def test_nothing_found_and_nothing_said_need_no_matching(say: Say) -> None:
    assert compare_speaker_words(say("yes"), []) == WordErrors(1, 0, 1, 0)
    assert compare_speaker_words([], say("yes")) == WordErrors(0, 0, 0, 1)
