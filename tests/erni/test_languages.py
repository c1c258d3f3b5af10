from __future__ import annotations

import pytest

from erni.languages import CONFIDENT, LEAST_WORDS, HeardLanguage, decide_language
from erni.model import Span


def heard(minute: int, language: str, confidence: float | None = 0.9, words: int = 100) -> HeardLanguage:
    return HeardLanguage(Span(minute * 60.0, minute * 60.0 + 60.0), language, confidence, words)


def test_a_recording_in_one_language_gives_no_notice() -> None:
    assert decide_language([heard(0, "de"), heard(1, "de")]) == ("de", ())


def test_nothing_heard_is_no_language() -> None:
    assert decide_language([]) == (None, ())


def test_the_first_confident_chunk_decides_not_the_first_chunk() -> None:
    language, notices = decide_language([heard(0, "en", 0.4), heard(1, "de", 0.95), heard(2, "de", 0.95)])
    assert (language, notices) == ("de", ())


def test_the_first_confident_chunk_decides_against_more_words_of_unsure_ones() -> None:
    assert decide_language([heard(0, "en", 0.4, 500), heard(1, "de", 0.95, 60)])[0] == "de"


@pytest.mark.parametrize(("confidence", "expected"), [(CONFIDENT, "en"), (CONFIDENT - 0.01, "de")])
def test_the_threshold_itself_is_confident(confidence: float, expected: str) -> None:
    assert decide_language([heard(0, "en", confidence), heard(1, "de")])[0] == expected


@pytest.mark.parametrize(("words", "expected"), [(LEAST_WORDS, "fr"), (LEAST_WORDS - 1, "de")])
def test_a_greeting_does_not_decide_however_sure(words: int, expected: str) -> None:
    assert decide_language([heard(0, "fr", 0.99, words), heard(1, "de")])[0] == expected


def test_without_a_confident_chunk_most_words_decide_and_nothing_is_called_mixed() -> None:
    chunks = [heard(0, "en", 0.5, 30), heard(1, "de", 0.4, 20), heard(2, "de", 0.4, 20)]
    assert decide_language(chunks) == ("de", ())


def test_an_engine_that_gives_no_number_is_taken_at_its_word() -> None:
    assert decide_language([heard(0, "fr", None), heard(1, "de", 0.95)])[0] == "fr"


def test_another_language_is_told_with_the_time_it_is_spoken() -> None:
    language, notices = decide_language([heard(0, "en"), heard(1, "de"), heard(2, "de"), heard(3, "en")])
    assert language == "en"
    (notice,) = notices
    assert (notice.code, notice.span) == ("languages_mixed", Span(60.0, 180.0))
    assert "en" in notice.message
    assert "de" in notice.message


def test_each_stretch_in_another_language_is_told_by_itself() -> None:
    _, notices = decide_language([heard(0, "en"), heard(1, "de"), heard(2, "fr"), heard(3, "en"), heard(4, "de")])
    assert [notice.span for notice in notices] == [Span(60.0, 120.0), Span(120.0, 180.0), Span(240.0, 300.0)]


def test_a_back_channel_in_another_language_is_not_mixed() -> None:
    assert decide_language([heard(0, "en"), heard(1, "de", 0.99, 3), heard(2, "en")]) == ("en", ())


def test_an_unsure_chunk_does_not_break_a_stretch() -> None:
    _, notices = decide_language([heard(0, "en"), heard(1, "de"), heard(2, "nl", 0.3), heard(3, "de")])
    assert [notice.span for notice in notices] == [Span(60.0, 240.0)]
