"""Reads what pyannote.ai answers: jobs in each state, turns, scores, voiceprints, refusals. Pure.

Source: its OpenAPI description and the official SDK 0.4.0, as of 2026-11. Scores are 0 to 100 there, 0 to 1 here.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from http import HTTPStatus
from typing import Any, Final

from erni.engines.http_call import MAX_RETRY_AFTER_S, Refusal, parse_retry_after
from erni.engines.remote_answers import (
    quote,
    read_number,
    read_object,
    read_rows,
    read_span,
    read_text,
    sort_turns,
)
from erni.errors import (
    EngineAnswerInvalid,
    EngineError,
    EngineQuotaExhausted,
    EngineRateLimited,
    EngineRejected,
    RemoteJobFailed,
    RemoteJobLost,
)
from erni.model import Turn, VoiceScore

NAME: Final = "pyannote.ai"
MAX_VOICEPRINT_CHARS: Final = 20_000
HIGHEST_SCORE: Final = 100.0

_AT_WORK: Final = frozenset({"pending", "created", "running"})
_OVER_WITHOUT_ANSWER: Final = {"failed": "failed", "canceled": "was cancelled"}
_EPOCH_S: Final = 1e9
"""From here on ``X-RateLimit-Reset`` is a moment and not a distance: its documentation has said both."""


def explain_refusal(refusal: Refusal) -> EngineError | None:
    """Its refusals have no machine-readable code: the status decides, its own words only explain."""
    said = _quote_refusal(refusal.body)
    match refusal.status:
        case HTTPStatus.PAYMENT_REQUIRED:
            return EngineQuotaExhausted(f"{NAME}: our account has no credit left.{said}")
        case HTTPStatus.TOO_MANY_REQUESTS:
            wait_s = read_wait_s(refusal.headers, datetime.now(UTC))
            return EngineRateLimited(f"{NAME} was asked too often.{said}", retry_after_s=wait_s)
        case HTTPStatus.BAD_REQUEST | HTTPStatus.REQUEST_ENTITY_TOO_LARGE | HTTPStatus.UNPROCESSABLE_ENTITY:
            return EngineRejected(f"{NAME} refuses this call.{said}")
        case _:
            return None


def explain_job_refusal(refusal: Refusal) -> EngineError | None:
    """As ``explain_refusal``, when asked for a job."""
    if refusal.status == HTTPStatus.NOT_FOUND:
        return RemoteJobLost(f"{NAME} does not know the job.")
    return explain_refusal(refusal)


def read_wait_s(headers: Mapping[str, str], now: datetime) -> float | None:
    """Seconds to wait after a 429: from ``Retry-After``, else from ``X-RateLimit-Reset``."""
    wait_s = parse_retry_after(headers.get("Retry-After"), now)
    reset = headers.get("X-RateLimit-Reset", "").strip()
    if wait_s is not None or not (reset.isascii() and reset.isdigit()):
        return wait_s
    reset_s = float(reset[:12])
    return min(max(0.0, reset_s - now.timestamp() if reset_s >= _EPOCH_S else reset_s), MAX_RETRY_AFTER_S)


def read_output(job: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """What a job came to, ``None`` while it is at work.

    Raises:
        RemoteJobFailed: it failed or was cancelled, which costs nothing.
        RemoteJobLost: its output was deleted, as happens 24 hours after its end.
        EngineAnswerInvalid: it is in no state we know.
    """
    status, output = read_text(job, "status", NAME), job.get("output")
    if status in _AT_WORK:
        return None
    if status in _OVER_WITHOUT_ANSWER:
        reason = quote(output.get("error")) if isinstance(output, dict) else ""
        raise RemoteJobFailed(f"{NAME}'s job {_OVER_WITHOUT_ANSWER[status]}{f': {reason}' if reason else '.'}")
    if status != "succeeded":
        raise EngineAnswerInvalid(f"{NAME}'s job is in an unknown state ({quote(status)}).")
    if not output:
        raise RemoteJobLost(f"{NAME} has deleted the answer already.")
    return read_object(output, NAME)


def read_elapsed_s(job: Mapping[str, Any]) -> float:
    """From the job's creation to its end, 0 where it does not say."""
    try:
        created, updated = (datetime.fromisoformat(job[name]) for name in ("createdAt", "updatedAt"))
        return max(0.0, (updated - created).total_seconds())
    except (KeyError, TypeError, ValueError):
        return 0.0


def read_turns(output: Mapping[str, Any]) -> tuple[Turn, ...]:
    """Turns under the diarization's own labels, also of an identification: those that do not overlap where it has such.

    Raises EngineAnswerInvalid.
    """
    name = "exclusiveDiarization" if output.get("exclusiveDiarization") else "diarization"
    return sort_turns(
        [Turn(*read_span(row, NAME), read_text(row, "speaker", NAME)) for row in read_rows(output, name, NAME)]
    )


def read_scores(output: Mapping[str, Any]) -> tuple[VoiceScore, ...]:
    """How like each known voice each of its speakers sounds; none of a diarization without known voices.

    Raises EngineAnswerInvalid.
    """
    if "identification" not in output:
        return ()
    scores = []
    for row in read_rows(output, "voiceprints", NAME):
        speaker = read_text(row, "speaker", NAME)
        confidences = read_object(row.get("confidence"), NAME)
        for voice in confidences:
            score = read_number(confidences, voice, NAME)
            if not 0 <= score <= HIGHEST_SCORE:
                raise EngineAnswerInvalid(f"{NAME} answered with a score that is not between 0 and 100.")
            scores.append(VoiceScore(speaker, voice, score / HIGHEST_SCORE))
    return tuple(scores)


def read_voiceprint(output: Mapping[str, Any]) -> str:
    """Raises EngineAnswerInvalid."""
    voiceprint = output.get("voiceprint")
    if not isinstance(voiceprint, str) or not 0 < len(voiceprint) <= MAX_VOICEPRINT_CHARS or not voiceprint.isascii():
        raise EngineAnswerInvalid(f"{NAME} answered without a usable voiceprint.")
    return voiceprint


def _quote_refusal(body: object) -> str:
    """``message``, and which field is wrong in what way; begins with a blank unless empty."""
    if not isinstance(body, dict):
        return ""
    listed = body.get("errors")
    errors = [row for row in listed if isinstance(row, dict)] if isinstance(listed, list) else []
    details = "; ".join(f"{row.get('field')}: {row.get('message')}" for row in errors)
    said = quote(": ".join(part for part in (str(body.get("message") or ""), details) if part))
    return f" It says: {said}" if said else ""
