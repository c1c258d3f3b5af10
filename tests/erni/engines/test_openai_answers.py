"""Answers of OpenAI and of servers that deviate from it, whole and broken."""

from __future__ import annotations

import json
from datetime import date
from typing import Any

import pytest

from erni.engines.openai_answers import Answer, Asked, parse_answer, parse_shutdown_dates
from erni.errors import EngineAnswerInvalid
from erni.model import Span

VENDOR = Asked("OpenAI", 8.47)
SERVER = Asked("speaches", 8.47, may_be_plain=True)

VERBOSE: dict[str, Any] = {
    "task": "transcribe",
    "language": "english",
    "duration": 8.47,
    "text": "The beach was full. People",
    "words": [
        {"word": "The", "start": 0.0, "end": 0.24},
        {"word": "beach", "start": 0.24, "end": 0.6},
        {"word": "was", "start": 0.6, "end": 0.8},
        {"word": "full", "start": 0.8, "end": 1.2},
        {"word": "People", "start": 3.4, "end": 3.9},
    ],
    "segments": [{"id": 0, "seek": 0, "start": 0.0, "end": 3.32, "text": " The beach was full."}],
    "usage": {"type": "duration", "seconds": 9},
}


def parse(document: object, asked: Asked = VENDOR) -> Answer:
    return parse_answer(json.dumps(document).encode(), asked)


def texts(answer: Answer) -> list[str]:
    return [word.text for word in answer.words]


def test_verbose_words_are_written_as_in_the_text() -> None:
    answer = parse(VERBOSE)
    assert texts(answer) == ["The", "beach", "was", "full.", "People"]
    assert (answer.words[3].start_s, answer.words[3].end_s, answer.words[3].timing) == (0.8, 1.2, "exact")
    assert answer.words[0].confidence is None
    assert answer.language == "en"
    assert answer.usage == {"seconds": 9.0}


def test_text_alone_is_spread_over_the_audio() -> None:
    usage = {"type": "tokens", "input_tokens": 14, "input_token_details": {"audio_tokens": 14}, "output_tokens": 45}
    answer = parse({"text": "Imagine all", "usage": usage})
    assert [(word.text, word.timing) for word in answer.words] == [("Imagine", "estimated"), ("all", "estimated")]
    assert answer.words[-1].end_s == 8.47
    assert answer.language is None
    assert answer.usage == {"audio_tokens": 14.0, "input_tokens": 14.0, "output_tokens": 45.0}


@pytest.mark.parametrize(("languages", "code"), [([{"code": "de"}], "de"), ([], None)])
def test_the_newest_model_lists_languages_or_is_not_sure(languages: list[dict[str, str]], code: str | None) -> None:
    assert parse({"text": "Ja", "languages": languages}).language == code


def test_diarized_segments_keep_their_times_and_lose_their_labels() -> None:
    segments = [
        {
            "type": "transcript.text.segment",
            "id": "seg_001",
            "start": 0.0,
            "end": 4.7,
            "text": "Thanks.",
            "speaker": "A",
        },
        {
            "type": "transcript.text.segment",
            "id": "seg_002",
            "start": 4.7,
            "end": 8.0,
            "text": "Hi you",
            "speaker": "B",
        },
    ]
    answer = parse({"duration": 8.47, "text": "A: Thanks.\nB: Hi you", "segments": segments})
    assert texts(answer) == ["Thanks.", "Hi", "you"]
    assert (answer.words[1].start_s, answer.words[2].end_s) == (4.7, 8.0)
    assert all(word.timing == "estimated" and word.speaker is None for word in answer.words)
    assert answer.places == (Span(0.0, 4.7), Span(4.7, 8.0), Span(4.7, 8.0))


def test_an_answer_whose_words_all_have_their_own_times_names_no_places() -> None:
    assert parse(VERBOSE).places == ()


@pytest.mark.parametrize(
    "document",
    [
        {"text": "Hello you"},
        {"text": "Hello you", "segments": [{"start": 0.0, "end": 9.0, "text": "Hello you"}]},
        {"text": "Hello you", "segments": [{"start": 0.0, "end": 0.0, "text": "Hello you"}]},
    ],
)
def test_an_answer_that_tells_no_times_names_no_places_whatever_it_was_asked_for(document: dict[str, Any]) -> None:
    answer = parse(document, SERVER)
    assert texts(answer) == ["Hello", "you"]
    assert answer.places == ()


def test_words_with_times_lie_there_and_others_in_their_segment() -> None:
    timed = {"start": 0.0, "end": 1.0, "text": "Hi", "words": [{"word": "Hi", "start": 0.2, "end": 0.6}]}
    bare = {"start": 2.0, "end": 9.0, "text": "and you"}
    answer = parse({"text": "Hi and you", "segments": [timed, bare]}, SERVER)
    assert [word.timing for word in answer.words] == ["exact", "estimated", "estimated"]
    assert answer.places == (Span(0.2, 0.6), Span(2.0, 8.47), Span(2.0, 8.47))


def test_no_speech_is_no_words() -> None:
    assert parse({"text": "", "words": [], "segments": []}).words == ()


def test_words_inside_segments_and_in_pieces_are_read() -> None:
    pieces = [
        {"word": " Peo", "start": 3.4, "end": 3.6, "t_dtw": -1, "probability": 0.9},
        {"word": "ple", "start": 3.6, "end": 3.9, "t_dtw": -1, "probability": 0.7},
        {"word": ".", "start": 3.9, "end": 3.9, "probability": 0.9},
    ]
    segment = {"id": 0, "start": 3.4, "end": 3.9, "text": " People.", "words": pieces}
    (word,) = parse({"text": " People.", "language": "en", "segments": [segment]}, SERVER).words
    assert (word.text, word.start_s, word.end_s, word.confidence, word.timing) == ("People.", 3.4, 3.9, 0.7, "exact")


def test_words_may_be_called_text() -> None:
    words = [{"text": "Hi", "start": 0.1, "end": 0.4}]
    assert texts(parse({"text": "Hi!", "words": words}, SERVER)) == ["Hi!"]


def test_numbers_may_be_texts_and_missing_ones_are_none() -> None:
    segment = {"id": 1, "start": "0.5", "end": "1.5", "text": "Hi", "no_speech_prob": None}
    (word,) = parse({"text": "Hi", "duration": "8.47", "segments": [segment]}, SERVER).words
    assert (word.start_s, word.end_s, word.confidence) == (0.5, 1.5, None)


@pytest.mark.parametrize("body", [b"Hello you\n", b'"Hello you"'])
def test_a_servers_plain_text_is_taken_for_text(body: bytes) -> None:
    assert texts(parse_answer(body, SERVER)) == ["Hello", "you"]
    with pytest.raises(EngineAnswerInvalid):
        parse_answer(body, VENDOR)


@pytest.mark.parametrize(
    "body",
    [
        b"\xff\xfe",
        b"<html>502</html>",
        b'{"text": "unfinis',
        b"[" * 10_000,
        b"[]",
        b"{}",
        b'{"text": null}',
        b'{"error": {"message": "no"}}',
        b'{"text": "a", "words": 7}',
        b'{"text": "a", "words": [7]}',
        b'{"text": "a", "words": [{"word": "a", "start": 0}]}',
        b'{"text": "a", "words": [{"word": "a", "start": NaN, "end": 1}]}',
        b'{"text": "a", "words": [{"word": "a", "start": true, "end": 1}]}',
        b'{"text": "a", "words": [{"word": "a", "start": 1e999, "end": 1}]}',
        b'{"text": "a", "words": [{"word": 5, "start": 0, "end": 1}]}',
        b'{"text": "a", "words": [{"word": "a", "start": 5, "end": 1}]}',
        b'{"text": "a", "words": [{"word": "a", "start": -5, "end": 1}]}',
        b'{"text": "a", "segments": [{"start": 0, "end": 1}]}',
        b'{"text": "\\ud800"}',
    ],
)
@pytest.mark.parametrize("asked", [VENDOR, SERVER])
def test_what_cannot_be_read_is_no_answer(body: bytes, asked: Asked) -> None:
    with pytest.raises(EngineAnswerInvalid):
        parse_answer(body, asked)


def test_a_servers_empty_text_is_silence_and_a_vendors_is_no_answer() -> None:
    assert parse_answer(b"", SERVER).words == ()
    with pytest.raises(EngineAnswerInvalid):
        parse_answer(b"", VENDOR)


def test_times_a_little_outside_are_moved_in() -> None:
    words = [{"word": "Hi", "start": -0.02, "end": 0.2}, {"word": "you", "start": 8.2, "end": 9.1}]
    first, last = parse({"text": "Hi you", "words": words}).words
    assert (first.start_s, last.end_s) == (0.0, 8.47)


def test_words_after_the_end_are_left_out_and_it_is_said() -> None:
    words = [{"word": "Hi", "start": 0.1, "end": 0.2}, {"word": "Thanks", "start": 12.0, "end": 13.0}]
    answer = parse({"text": "Hi Thanks", "words": words})
    assert texts(answer) == ["Hi"]
    assert [notice.code for notice in answer.warnings] == ["words_after_the_end"]


def test_times_of_another_clock_are_no_answer() -> None:
    with pytest.raises(EngineAnswerInvalid, match="outside"):
        parse({"text": "Hi", "words": [{"word": "Hi", "start": 100, "end": 240}]})


def test_audio_that_was_not_heard_to_its_end_is_told() -> None:
    (notice,) = parse({"text": "Hi", "duration": 3.0}).warnings
    assert (notice.code, notice.span and notice.span.start_s) == ("audio_cut_short", 3.0)


def test_models_that_end_on_no_day_that_can_be_read_end_on_none() -> None:
    rows = [{"id": "a", "shutdown_date": "2027-02-26"}, {"id": "b", "shutdown_date": "soon"}, {"id": "c"}]
    assert parse_shutdown_dates(json.dumps({"data": rows}).encode(), "OpenAI") == {
        "a": date(2027, 2, 26),
        "b": None,
        "c": None,
    }
