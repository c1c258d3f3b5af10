"""Answers of Replicate and of whisper-diarization as they are described, and as they should not be."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from erni.engines.http_call import Refusal
from erni.engines.replicate_answers import (
    explain_prediction_refusal,
    explain_refusal,
    make_turns,
    read_language,
    read_output,
    read_predict_time_s,
    read_wait_s,
    read_words,
)
from erni.errors import EngineAnswerInvalid, EngineQuotaExhausted, EngineRateLimited, EngineRejected, RemoteJobLost
from erni.model import Turn, Word

NOW = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)
WORD = {"start": 0.03, "end": 0.41, "word": " Guten", "probability": 0.97, "speaker": "SPEAKER_00"}
SEGMENT = {"start": 0.03, "end": 6.42, "speaker": "SPEAKER_00", "text": "Guten Morgen", "words": [WORD]}


def words_of(*rows: dict[str, Any], **segment: Any) -> tuple[tuple[Word, str | None], ...]:
    return read_words({"segments": [{**SEGMENT, "words": list(rows), **segment}]})


@pytest.mark.parametrize("status", ["starting", "processing"])
def test_a_prediction_at_work_has_no_output(status: str) -> None:
    assert read_output({"status": status, "output": None}) is None


@pytest.mark.parametrize("status", ["failed", "canceled"])
def test_a_prediction_that_failed_says_why(status: str) -> None:
    with pytest.raises(EngineRejected, match="CUDA out of memory"):
        read_output({"status": status, "error": "CUDA out of memory"})


@pytest.mark.parametrize(
    "prediction",
    [
        {"status": "succeeded", "output": None},
        {"status": "succeeded", "output": {"segments": []}, "data_removed": True},
        {"status": "aborted"},
    ],
)
def test_an_answer_that_is_gone_or_never_was_is_lost(prediction: dict[str, Any]) -> None:
    with pytest.raises(RemoteJobLost):
        read_output(prediction)


@pytest.mark.parametrize("status", ["done", "", None, ["succeeded"]])
def test_an_unknown_state_is_an_invalid_answer(status: object) -> None:
    with pytest.raises(EngineAnswerInvalid):
        read_output({"status": status, "output": {}})


def test_words_come_bare_with_their_probability_and_speaker() -> None:
    assert words_of(WORD) == ((Word("Guten", 0.03, 0.41, 0.97), "SPEAKER_00"),)


def test_a_word_without_a_speaker_has_its_segments() -> None:
    row = {name: value for name, value in WORD.items() if name != "speaker"}
    assert words_of(row, speaker="SPEAKER_07")[0][1] == "SPEAKER_07"


def test_nobody_is_no_speaker() -> None:
    assert words_of({**WORD, "speaker": "UNKNOWN"}, speaker="UNKNOWN")[0][1] is None


def test_a_word_of_white_space_is_none() -> None:
    assert words_of({**WORD, "word": "  "}, WORD) == words_of(WORD)


@pytest.mark.parametrize("probability", [None, "0.9", 1.5, -0.1])
def test_a_probability_that_is_none_is_left_out(probability: object) -> None:
    assert words_of({**WORD, "probability": probability})[0][0].confidence is None


def test_a_segment_that_lists_no_words_has_its_texts_with_guessed_times() -> None:
    assert words_of(start=0.0, end=3.0, text="ab cdef") == (
        (Word("ab", 0.0, 1.0, timing="estimated"), "SPEAKER_00"),
        (Word("cdef", 1.0, 3.0, timing="estimated"), "SPEAKER_00"),
    )
    assert words_of(text=" ") == ()


@pytest.mark.parametrize(
    "changes",
    [
        {"start": None},
        {"start": "0"},
        {"start": 1.0, "end": 0.5},
        {"end": float("inf")},
        {"word": 7},
        {"word": "\ud800"},
    ],
)
def test_words_that_make_no_sense_are_an_invalid_answer(changes: dict[str, Any]) -> None:
    with pytest.raises(EngineAnswerInvalid):
        words_of({**WORD, **changes})


@pytest.mark.parametrize("output", [{}, {"segments": None}, {"segments": ["text"]}, {"segments": [{"text": 3}]}])
def test_an_output_without_segments_is_an_invalid_answer(output: dict[str, Any]) -> None:
    with pytest.raises(EngineAnswerInvalid):
        read_words(output)


def test_a_turn_ends_where_another_speaks_or_a_pause_is_long() -> None:
    spoken = (
        (Word("a", 0.0, 0.5), "A"),
        (Word("b", 1.4, 2.0), "A"),
        (Word("x", 2.0, 2.1), None),
        (Word("c", 2.1, 2.5), "B"),
        (Word("d", 4.0, 4.5), "B"),
    )
    assert make_turns(spoken) == (Turn(0.0, 2.0, "A"), Turn(2.1, 2.5, "B"), Turn(4.0, 4.5, "B"))


@pytest.mark.parametrize(
    ("language", "expected"), [("de", "de"), ("yue", "yue"), ("German", None), (None, None), (7, None)]
)
def test_a_language_is_a_code(language: object, expected: str | None) -> None:
    assert read_language({"language": language}) == expected


@pytest.mark.parametrize("metrics", [None, {}, {"predict_time": "4"}, {"predict_time": -1}, {"predict_time": None}])
def test_a_prediction_may_not_say_what_it_took(metrics: object) -> None:
    assert read_predict_time_s({"metrics": metrics}) is None
    assert read_predict_time_s({"metrics": {"predict_time": 41.2}}) == 41.2


def test_the_wait_after_a_429_is_in_a_header_or_in_its_words() -> None:
    said = "Request was throttled. Your rate limit resets in ~30s."
    assert read_wait_s(None, said, NOW) == 30.0
    assert read_wait_s("7", said, NOW) == 7.0
    assert read_wait_s(None, "Request was throttled.", NOW) is None


def test_spent_credit_is_no_rate_limit_whatever_its_status() -> None:
    body = {"title": "Insufficient credit", "detail": "You have insufficient credit to run this model."}
    for status in (402, 429):
        assert type(explain_refusal(Refusal(status, {}, body))) is EngineQuotaExhausted
    low = {"detail": "Request was throttled. Your credit is low. Your rate limit resets in ~9s."}
    error = explain_refusal(Refusal(429, {}, low))
    assert type(error) is EngineRateLimited
    assert error.retry_after_s == 9.0


def test_only_a_prediction_can_be_lost() -> None:
    assert type(explain_prediction_refusal(Refusal(404, {}, None))) is RemoteJobLost
    assert type(explain_refusal(Refusal(404, {}, {"detail": "No such model"}))) is EngineRejected
