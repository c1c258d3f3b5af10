"""Turns what OpenAI, or a server that speaks its protocol, refuses into an error of the tree.

Pure: decides by status, type and code, never by words. Source: OpenAI's guide to error codes, and its API reference.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from http import HTTPStatus
from typing import Any, Final

from erni.engines.http_call import ANSWER_LOST, MAX_RETRY_AFTER_S, parse_retry_after
from erni.engines.remote_answers import quote
from erni.errors import (
    EngineDown,
    EngineError,
    EngineNotAuthorised,
    EngineQuotaExhausted,
    EngineRateLimited,
    EngineRejected,
    EngineUnavailable,
)

_NO_MONEY: Final = re.compile(r"quota|billing|credit|spend|usage_limit")
"""In a type or code: ``insufficient_quota``, ``credit_balance_exhausted``, limits of spending and usage."""

_CHECK_ADDRESS: Final = (
    "Check its base URL; whisper.cpp's server must be started with --inference-path /v1/audio/transcriptions."
)
_KEY: Final = re.compile(r"\bsk-\S+")
_REQUEST_ID: Final = re.compile(r"^[\w-]{1,80}$")

_LATER: Final = frozenset({HTTPStatus.CONFLICT, HTTPStatus.TOO_EARLY})
_NOT_AUTHORISED: Final = frozenset({HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN})


@dataclass(frozen=True, slots=True)
class Refusal:
    """An answer with an error's status. ``body`` is the error object where there is one, else all of the body."""

    name: str
    status: int
    body: object = None
    headers: Mapping[str, str] = field(default_factory=dict)


def explain_refusal(refusal: Refusal) -> EngineError:
    """The error to raise. A key the vendor refuses is never repeated, and what else it says is shortened."""
    status = refusal.status
    said = f"{refusal.name} answered {status}"
    retry_after_s = parse_waiting_time(refusal.headers)
    if status in _NOT_AUTHORISED:
        return EngineNotAuthorised(
            f"{said}: it does not accept the API key, or the key may not use this model. Check the key and its rights."
            f"{_request_id(refusal)}"
        )
    if status == HTTPStatus.PAYMENT_REQUIRED or (status == HTTPStatus.TOO_MANY_REQUESTS and _is_out_of_money(refusal)):
        return EngineQuotaExhausted(
            f"{said}: the account has no credit or quota left. Check its billing.{_request_id(refusal)}"
        )
    if status == HTTPStatus.TOO_MANY_REQUESTS:
        return EngineRateLimited(f"{said}: it was asked too often.", retry_after_s=retry_after_s)
    if status >= HTTPStatus.INTERNAL_SERVER_ERROR or status in _LATER or status in ANSWER_LOST:
        kind = EngineUnavailable if status in ANSWER_LOST else EngineDown
        return kind(f"{said}: it is out for now.{_request_id(refusal)}", retry_after_s=retry_after_s)
    return EngineRejected(f"{said}{_explain_rejection(refusal)}")


def _explain_rejection(refusal: Refusal) -> str:
    if refusal.status < HTTPStatus.BAD_REQUEST:
        return " where an answer was due. Check its base URL."
    if refusal.status == HTTPStatus.NOT_FOUND and not isinstance(refusal.body, dict):
        # Of a model it does not have, a server tells in an object.
        return f": it does not transcribe at this address. {_CHECK_ADDRESS}"
    return f": it refuses this call.{_message(refusal.body)}{_request_id(refusal)}"


def parse_waiting_time(headers: Mapping[str, str]) -> float | None:
    """Seconds to wait by ``retry-after-ms``, else ``Retry-After``: a number, also a broken one, or a date."""
    known = {name.lower(): value for name, value in headers.items()}
    for name, unit_s in (("retry-after-ms", 0.001), ("retry-after", 1.0)):
        try:
            wait_s = float(known[name]) * unit_s
        except (KeyError, ValueError):
            continue
        if math.isfinite(wait_s) and wait_s >= 0:
            return min(wait_s, MAX_RETRY_AFTER_S)
    return parse_retry_after(known.get("retry-after"), datetime.now(UTC))


def _is_out_of_money(refusal: Refusal) -> bool:
    return any(_NO_MONEY.search(str(_fields(refusal.body).get(name) or "")) for name in ("type", "code"))


def _fields(body: object) -> Mapping[str, Any]:
    return body if isinstance(body, dict) else {}


def _message(body: object) -> str:
    """The vendor's words, on one line and shortened; servers differ in what they call them."""
    fields = _fields(body)
    words = next((fields[name] for name in ("message", "detail", "error") if isinstance(fields.get(name), str)), body)
    line = quote(_KEY.sub("(a key)", words)) if isinstance(words, str) else ""
    return f' It says: "{line}".' if line else ""


def _request_id(refusal: Refusal) -> str:
    """What the vendor's support asks for."""
    request_id = {name.lower(): value for name, value in refusal.headers.items()}.get("x-request-id", "")
    return f" Its request id: {request_id}." if _REQUEST_ID.match(request_id) else ""
