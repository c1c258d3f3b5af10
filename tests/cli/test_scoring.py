"""Scores with answers worked out by hand."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from cli.scoring import score_transcript

STANDUP = Path(__file__).parents[2] / "samples" / "standup.json"
REFERENCE = {
    "language": "en",
    "turns": [
        {"speaker": "anna", "text": "Let us start now."},
        {"speaker": "ben", "text": "It is my turn."},
    ],
}


def transcript(*turns: tuple[str | None, str]) -> dict[str, object]:
    speakers = sorted({speaker for speaker, _ in turns if speaker})
    segments = [
        {"speaker": speaker, "words": [{"text": word, "speaker": speaker} for word in text.split()]}
        for speaker, text in turns
    ]
    return {"speakers": [{"id": speaker} for speaker in speakers], "segments": segments}


def test_same_words_written_differently_are_no_error() -> None:
    score = score_transcript(
        transcript(("speaker_2", "Let\u2019s start, now!"), ("speaker_1", "it's my turn")), REFERENCE
    )
    assert score.word_error_rate == 0
    assert (score.words_expected, score.words_found) == (8, 8)
    assert (score.speakers_expected, score.speakers_found) == (2, 2)
    assert score.speaker_word_accuracy == 1


def test_each_kind_of_error_counts_once() -> None:
    one_of_each = transcript(("a", "let us oh start"), ("b", "it is my term"))  # "oh" in, "now" out, "turn" wrong
    assert score_transcript(one_of_each, REFERENCE).word_error_rate == pytest.approx(3 / 8)


def test_word_at_the_wrong_speaker_costs_its_share() -> None:
    score = score_transcript(transcript(("a", "let us start now it"), ("b", "is my turn")), REFERENCE)
    assert score.word_error_rate == 0
    assert score.speaker_word_accuracy == pytest.approx(7 / 8)


def test_two_speakers_heard_as_one_get_the_larger_part_right() -> None:
    score = score_transcript(transcript(("a", "let us start now it is my turn")), REFERENCE)
    assert score.speakers_found == 1
    assert score.speaker_word_accuracy == pytest.approx(1 / 2)


def test_one_speaker_heard_as_two_keeps_the_larger_part() -> None:
    score = score_transcript(transcript(("a", "let us start"), ("b", "now"), ("c", "it is my turn")), REFERENCE)
    assert score.speaker_word_accuracy == pytest.approx(7 / 8)


def test_words_without_speaker_are_not_right() -> None:
    score = score_transcript(transcript((None, "let us start now it is my turn")), REFERENCE)
    assert (score.speakers_found, score.speaker_word_accuracy) == (0, 0)


def test_empty_transcript_misses_every_word() -> None:
    score = score_transcript(transcript(), REFERENCE)
    assert (score.word_error_rate, score.speaker_word_accuracy) == (1, 0)


def test_reference_without_words_is_refused() -> None:
    with pytest.raises(ValueError, match="no words"):
        score_transcript(transcript(("a", "hello")), {"language": "en", "turns": []})


def test_sample_reference_scores_perfectly_against_itself() -> None:
    reference = json.loads(STANDUP.read_text(encoding="utf-8"))
    score = score_transcript(transcript(*((turn["speaker"], turn["text"]) for turn in reference["turns"])), reference)
    assert (score.word_error_rate, score.speaker_word_accuracy, score.speakers_expected) == (0, 1, 3)
