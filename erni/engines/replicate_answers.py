"""Reads what Replicate answers: predictions in each state, refusals, and whisper-diarization's segments. Pure.

Sources: Replicate's HTTP reference and SDK 1.0.7; github.com/thomasmol/cog-whisper-diarization, as of 2026-06.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from http import HTTPStatus
from itertools import pairwise
from typing import Any, Final

from erni.engines.http_call import Refusal, parse_retry_after
from erni.engines.remote_answers import quote, read_object, read_rows, read_span, read_text, sort_turns, to_number
from erni.errors import (
    EngineAnswerInvalid,
    EngineError,
    EngineQuotaExhausted,
    EngineRateLimited,
    EngineRejected,
    RemoteJobAborted,
    RemoteJobFailed,
    RemoteJobLost,
)
from erni.model import Turn, Word
from erni.turns import PAUSE_S

NAME: Final = "Replicate"
NOBODY: Final = "UNKNOWN"
"""Whose words the model gives to no speaker."""

_AT_WORK: Final = frozenset({"starting", "processing"})
MAY_ANSWER: Final = (*sorted(_AT_WORK), "succeeded")
"""States of a prediction that has an answer, or will have one."""

_OVER_WITHOUT_ANSWER: Final = {"failed": "failed", "canceled": "was cancelled"}
_NO_CREDIT: Final = "Insufficient credit"
_RESETS_IN = re.compile(r"~(\d{1,6})s\b")

Spoken = tuple[Word, str | None]
"""A word and the model's label of who says it, ``None`` for nobody known."""


def explain_refusal(refusal: Refusal) -> EngineError | None:
    """Its refusals are ``{"title", "detail", "status"}`` (RFC 7807). One of them has no status of its own: that the
    credit is spent has come as 429, under its title.
    """
    body = refusal.body if isinstance(refusal.body, dict) else {}
    title, detail = quote(body.get("title")), quote(body.get("detail"))
    said = f" It says: {detail or title}" if detail or title else ""
    if refusal.status == HTTPStatus.PAYMENT_REQUIRED or title == _NO_CREDIT:
        return EngineQuotaExhausted(f"{NAME}: our account has no credit left.{said}")
    if refusal.status == HTTPStatus.TOO_MANY_REQUESTS:
        wait_s = read_wait_s(refusal.headers.get("Retry-After"), detail, datetime.now(UTC))
        return EngineRateLimited(f"{NAME} was asked too often.{said}", retry_after_s=wait_s)
    if refusal.status in _REJECTED:
        return EngineRejected(f"{NAME} refuses this call.{said}")
    return None


_REJECTED: Final = frozenset(
    {
        HTTPStatus.BAD_REQUEST,
        HTTPStatus.NOT_FOUND,
        HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
        HTTPStatus.UNPROCESSABLE_ENTITY,
    }
)


def explain_prediction_refusal(refusal: Refusal) -> EngineError | None:
    """As ``explain_refusal``, when asked for a prediction."""
    if refusal.status == HTTPStatus.NOT_FOUND:
        return RemoteJobLost(f"{NAME} does not know the prediction.")
    return explain_refusal(refusal)


def read_wait_s(retry_after: str | None, detail: str, now: datetime) -> float | None:
    """Seconds to wait after a 429: from ``Retry-After``, else from its words ("resets in ~30s")."""
    wait_s = parse_retry_after(retry_after, now)
    if wait_s is not None:
        return wait_s
    found = _RESETS_IN.search(detail)
    return float(found.group(1)) if found else None


def read_output(prediction: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """What a prediction came to, ``None`` while it is at work.

    Raises:
        RemoteJobFailed: it failed or was cancelled; what it used until then is billed.
        RemoteJobAborted: it was given up before it began, which costs nothing.
        RemoteJobLost: its output was deleted, as happens an hour after its end.
        EngineAnswerInvalid: it is in no state we know.
    """
    status = read_text(prediction, "status", NAME)
    if status in _AT_WORK:
        return None
    if status in _OVER_WITHOUT_ANSWER:
        reason = quote(prediction.get("error"))
        raise RemoteJobFailed(f"{NAME}'s prediction {_OVER_WITHOUT_ANSWER[status]}{f': {reason}' if reason else '.'}")
    if status == "aborted":
        raise RemoteJobAborted(f"{NAME} gave the prediction up before it began.")
    if status != "succeeded":
        raise EngineAnswerInvalid(f"{NAME}'s prediction is in an unknown state ({quote(status)}).")
    if prediction.get("data_removed") is True or prediction.get("output") is None:
        raise RemoteJobLost(f"{NAME} has deleted the answer already.")
    return read_object(prediction["output"], NAME)


def read_predict_time_s(prediction: Mapping[str, Any]) -> float | None:
    """Seconds of hardware that are billed, ``None`` where it does not say."""
    metrics = prediction.get("metrics")
    predict_time_s = to_number(metrics.get("predict_time")) if isinstance(metrics, dict) else None
    return predict_time_s if predict_time_s is not None and predict_time_s >= 0 else None


def read_language(output: Mapping[str, Any]) -> str | None:
    """The code of the language it heard, ``None`` where it gives no such."""
    language = output.get("language")
    return language if isinstance(language, str) and re.fullmatch(r"[a-z]{2,3}", language) else None


def read_words(output: Mapping[str, Any]) -> tuple[Spoken, ...]:
    """All words by start, and who says each.

    Raises EngineAnswerInvalid.
    """
    spoken: list[Spoken] = []
    for segment in read_rows(output, "segments", NAME):
        if segment.get("words"):
            spoken += (_read_word(row, segment) for row in read_rows(segment, "words", NAME) if not _is_blank(row))
        else:
            spoken += _spread_words(segment)
    return tuple(sorted(spoken, key=lambda one: one[0].start_s))


def make_turns(spoken: Iterable[Spoken]) -> tuple[Turn, ...]:
    """Who speaks when, from who says each word: what one says without a longer pause before anybody else does."""
    turns: list[Turn] = []
    for word, speaker in spoken:
        if speaker is None:
            continue
        last = turns[-1] if turns else None
        if last is not None and last.speaker == speaker and word.start_s - last.end_s <= PAUSE_S:
            turns[-1] = Turn(last.start_s, max(last.end_s, word.end_s), speaker)
        else:
            turns.append(Turn(word.start_s, word.end_s, speaker))
    return sort_turns(turns)


def _is_blank(row: Mapping[str, Any]) -> bool:
    word = row.get("word")
    return isinstance(word, str) and not word.strip()


def _read_word(row: Mapping[str, Any], segment: Mapping[str, Any]) -> Spoken:
    start_s, end_s = read_span(row, NAME)
    probability = to_number(row.get("probability"))
    confidence = probability if probability is not None and 0 <= probability <= 1 else None
    return Word(read_text(row, "word", NAME), start_s, end_s, confidence), _speaker(row) or _speaker(segment)


def _spread_words(segment: Mapping[str, Any]) -> list[Spoken]:
    """The words of a segment that lists none, with times guessed by their length."""
    start_s, end_s = read_span(segment, NAME)
    text = segment.get("text")
    if not isinstance(text, str):
        raise EngineAnswerInvalid(f"{NAME}'s answer has a segment without words.")
    words = text.split()
    letters = sum(map(len, words))
    borders, done = [start_s], 0
    for word in words:
        done += len(word)
        borders.append(start_s + (end_s - start_s) * done / letters)
    spans = zip(words, pairwise(borders), strict=True)
    return [(Word(word, *span, timing="estimated"), _speaker(segment)) for word, span in spans]


def _speaker(row: Mapping[str, Any]) -> str | None:
    speaker = row.get("speaker")
    if speaker is None or speaker == NOBODY:
        return None
    return read_text(row, "speaker", NAME)
