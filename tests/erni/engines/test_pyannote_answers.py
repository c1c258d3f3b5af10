"""Answers of pyannote.ai as its description has them, and as they should not be."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from erni.engines.http_call import Refusal
from erni.engines.pyannote_answers import (
    explain_job_refusal,
    explain_refusal,
    read_elapsed_s,
    read_output,
    read_scores,
    read_turns,
    read_voiceprint,
    read_wait_s,
)
from erni.errors import (
    EngineAnswerInvalid,
    EngineQuotaExhausted,
    EngineRateLimited,
    EngineRejected,
    RemoteJobLost,
)
from erni.model import Turn, VoiceScore

NOW = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)
TURN = {"speaker": "SPEAKER_00", "start": 0.645, "end": 2.585}
IDENTIFIED = {
    "diarization": [TURN, {"speaker": "SPEAKER_01", "start": 2.0, "end": 4.0}],
    "identification": [
        {"speaker": "Sam", "start": 2.0, "end": 4.0, "diarizationSpeaker": "SPEAKER_01", "match": "Sam"},
        {**TURN, "diarizationSpeaker": "SPEAKER_00", "match": None},
    ],
    "voiceprints": [
        {"speaker": "SPEAKER_00", "match": None, "confidence": {"Sam": 0, "Rick": 12.5}},
        {"speaker": "SPEAKER_01", "match": "Sam", "confidence": {"Sam": 100, "Rick": 24}},
    ],
}


@pytest.mark.parametrize("status", ["pending", "created", "running"])
def test_a_job_at_work_has_no_output(status: str) -> None:
    assert read_output({"status": status}) is None


@pytest.mark.parametrize("status", ["failed", "canceled"])
def test_a_job_that_failed_says_why(status: str) -> None:
    with pytest.raises(EngineRejected, match="Could not load audio"):
        read_output({"status": status, "output": {"error": "Could not load audio"}})
    with pytest.raises(EngineRejected):
        read_output({"status": status})


@pytest.mark.parametrize("job", [{"status": "succeeded"}, {"status": "succeeded", "output": None}])
def test_an_output_that_was_deleted_is_lost(job: dict[str, Any]) -> None:
    with pytest.raises(RemoteJobLost):
        read_output(job)


@pytest.mark.parametrize("status", ["error", "Succeeded", "", None, 7, ["running"]])
def test_an_unknown_state_is_never_taken_for_success(status: object) -> None:
    with pytest.raises(EngineAnswerInvalid):
        read_output({"status": status, "output": {"diarization": []}})


def test_turns_that_do_not_overlap_are_preferred() -> None:
    exclusive = [{"speaker": "SPEAKER_01", "start": 3, "end": 4}, TURN]
    output = {"diarization": [{**TURN, "end": 9}], "exclusiveDiarization": exclusive}
    assert read_turns(output) == (Turn(0.645, 2.585, "SPEAKER_00"), Turn(3.0, 4.0, "SPEAKER_01"))
    assert read_turns({"diarization": [TURN], "exclusiveDiarization": []}) == (Turn(0.645, 2.585, "SPEAKER_00"),)


def test_silence_has_no_turns() -> None:
    assert read_turns({"diarization": []}) == ()


@pytest.mark.parametrize(
    "rows",
    [
        None,
        {},
        ["SPEAKER_00"],
        [{**TURN, "start": "0"}],
        [{**TURN, "start": None}],
        [{**TURN, "start": True}],
        [{**TURN, "start": -1}],
        [{**TURN, "end": 0.1}],
        [{**TURN, "end": 10**400}],
        [{**TURN, "speaker": ""}],
        [{**TURN, "speaker": 3}],
        [{**TURN, "speaker": "\ud800"}],
    ],
)
def test_turns_that_make_no_sense_are_an_invalid_answer(rows: object) -> None:
    with pytest.raises(EngineAnswerInvalid):
        read_turns({"diarization": rows})


def test_scores_are_shares_of_one_under_the_diarizations_labels() -> None:
    assert read_scores(IDENTIFIED) == (
        VoiceScore("SPEAKER_00", "Sam", 0.0),
        VoiceScore("SPEAKER_00", "Rick", 0.125),
        VoiceScore("SPEAKER_01", "Sam", 1.0),
        VoiceScore("SPEAKER_01", "Rick", 0.24),
    )


def test_turns_of_an_identification_keep_the_diarizations_labels() -> None:
    assert {turn.speaker for turn in read_turns(IDENTIFIED)} == {"SPEAKER_00", "SPEAKER_01"}


@pytest.mark.parametrize("confidence", [None, [], {"Sam": None}, {"Sam": "86"}, {"Sam": -1}, {"Sam": 101}])
def test_scores_that_make_no_sense_are_an_invalid_answer(confidence: object) -> None:
    rows = [{"speaker": "SPEAKER_00", "confidence": confidence}]
    with pytest.raises(EngineAnswerInvalid):
        read_scores({**IDENTIFIED, "voiceprints": rows})


def test_an_identification_without_scores_is_an_invalid_answer() -> None:
    with pytest.raises(EngineAnswerInvalid):
        read_scores({"diarization": [], "identification": []})


@pytest.mark.parametrize("voiceprint", [None, "", 7, "ü", "x" * 20_001])
def test_a_voiceprint_is_a_text_that_can_be_sent_back(voiceprint: object) -> None:
    with pytest.raises(EngineAnswerInvalid):
        read_voiceprint({"voiceprint": voiceprint})
    assert read_voiceprint({"voiceprint": "aGVsbG8"}) == "aGVsbG8"


@pytest.mark.parametrize(
    ("headers", "expected_s"),
    [
        ({"Retry-After": "7", "X-RateLimit-Reset": "60"}, 7.0),
        ({"X-RateLimit-Reset": "60"}, 60.0),
        ({"X-RateLimit-Reset": str(int(NOW.timestamp()) + 42)}, 42.0),
        ({"X-RateLimit-Reset": str(int(NOW.timestamp()) - 42)}, 0.0),
        ({"X-RateLimit-Reset": "9" * 400}, 24 * 3600.0),
        ({"X-RateLimit-Reset": "soon"}, None),
        ({}, None),
    ],
)
def test_the_wait_after_a_429_is_read_from_either_header(headers: dict[str, str], expected_s: float | None) -> None:
    assert read_wait_s(headers, NOW) == expected_s


def test_its_words_are_told_without_addresses_and_keys() -> None:
    body = {"message": "No https://s3.test/x?X-Amz-Signature=abc for\nBearer r8_secret", "errors": "none"}
    error = explain_refusal(Refusal(400, {}, body))
    assert type(error) is EngineRejected
    assert "X-Amz" not in error.message
    assert "secret" not in error.message
    assert "\n" not in error.message


def test_a_long_explanation_is_cut() -> None:
    error = explain_refusal(Refusal(400, {}, {"message": "x" * 5000}))
    assert error is not None
    assert len(error.message) < 500


@pytest.mark.parametrize("body", [None, [], "text", {}, {"message": 7, "errors": [3, None]}])
def test_a_refusal_without_words_counts_by_its_status(body: object) -> None:
    assert type(explain_refusal(Refusal(402, {}, body))) is EngineQuotaExhausted
    assert type(explain_refusal(Refusal(429, {}, body))) is EngineRateLimited
    assert type(explain_refusal(Refusal(400, {}, body))) is EngineRejected
    assert explain_refusal(Refusal(500, {}, body)) is None


def test_only_a_job_can_be_lost() -> None:
    assert type(explain_job_refusal(Refusal(404, {}, None))) is RemoteJobLost
    assert explain_refusal(Refusal(404, {}, None)) is None


def test_how_long_it_took_is_read_from_its_times() -> None:
    job = {"createdAt": "2026-11-22T12:00:00Z", "updatedAt": "2026-11-22T12:00:31.5Z"}
    assert read_elapsed_s(job) == 31.5
    assert read_elapsed_s({"createdAt": "then", "updatedAt": None}) == 0.0
    assert read_elapsed_s({}) == 0.0
