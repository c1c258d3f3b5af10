"""Errors to RFC 9457 problem details: one table, one handler per kind. Alone in mapping errors to HTTP.

What a caller can mend is told in the error's own words. Of faults on our side the caller reads a fixed
sentence and the log the rest, so that no address or path leaves the house.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any, Final

import structlog
from flask import Flask, Response
from werkzeug.exceptions import HTTPException
from werkzeug.wrappers import Response as WerkzeugResponse

from erni import errors
from erni.errors import ErniError

log = structlog.get_logger(__name__)

MEDIA_TYPE: Final = "application/problem+json"
SERVER_FAULT_FROM: Final = 500


@dataclass(frozen=True, slots=True)
class Row:
    """How errors are answered; ``detail`` replaces the error's words, ``retry_after_s`` is a default."""

    status: HTTPStatus
    detail: str | None = None
    retry_after_s: float | None = None


_BUG: Final = Row(
    HTTPStatus.INTERNAL_SERVER_ERROR, "Erni failed unexpectedly. The operator finds the reason in the log."
)
_STORAGE_OUT: Final = Row(
    HTTPStatus.SERVICE_UNAVAILABLE, "Records or audio storage cannot be reached. Try again.", retry_after_s=5
)

ROWS: Final[Mapping[type[ErniError], Row]] = {
    errors.InputError: Row(HTTPStatus.UNPROCESSABLE_ENTITY),
    errors.MediaTooLarge: Row(HTTPStatus.REQUEST_ENTITY_TOO_LARGE),
    errors.NotAuthenticated: Row(HTTPStatus.UNAUTHORIZED),
    errors.AccessError: Row(HTTPStatus.FORBIDDEN),
    errors.SignatureInvalid: Row(HTTPStatus.UNAUTHORIZED),
    errors.SpendingCapReached: Row(HTTPStatus.PAYMENT_REQUIRED),
    errors.NotFound: Row(HTTPStatus.NOT_FOUND),
    errors.JobConflict: Row(HTTPStatus.CONFLICT),
    errors.Interruption: _BUG,
    errors.WorkLost: _BUG,
    errors.EngineError: Row(HTTPStatus.BAD_GATEWAY, "The speech engine did not do its work."),
    errors.EngineUnavailable: Row(
        HTTPStatus.SERVICE_UNAVAILABLE, "The speech engine is out for now. Try again.", retry_after_s=30
    ),
    errors.EngineRateLimited: Row(
        HTTPStatus.SERVICE_UNAVAILABLE, "The speech engine is asked too often for now. Try again.", retry_after_s=30
    ),
    errors.StorageError: _STORAGE_OUT,
    errors.BlobNotFound: Row(HTTPStatus.INTERNAL_SERVER_ERROR, "A stored file of this job is gone."),
    errors.DocumentDamaged: Row(
        HTTPStatus.INTERNAL_SERVER_ERROR, "A stored file of this job cannot be read. Tell the operator."
    ),
    errors.StorageFull: Row(
        HTTPStatus.INSUFFICIENT_STORAGE,
        "No space is left to store this. Try again later, and tell the operator.",
        retry_after_s=60,
    ),
    errors.QueueUnavailable: Row(
        HTTPStatus.SERVICE_UNAVAILABLE, "The queue cannot be reached. Try again.", retry_after_s=5
    ),
    errors.ConfigError: _BUG,
}
"""A class without a row is answered by the row of its nearest ancestor."""


def row_for(error_class: type[ErniError]) -> Row | None:
    """The row of the class or of its nearest ancestor that has one."""
    for ancestor in error_class.__mro__:
        if ancestor in ROWS:
            return ROWS[ancestor]
    return None


def install(app: Flask) -> None:
    """Answer every error of this app as a problem."""
    app.register_error_handler(ErniError, answer_erni_error)
    app.register_error_handler(HTTPException, answer_http_exception)
    app.register_error_handler(Exception, answer_bug)


def answer_erni_error(error: ErniError) -> Response:
    row = row_for(type(error)) or _BUG
    if row.status >= SERVER_FAULT_FROM:
        log.error("request_failed", code=error.code, reason=error.message, exc_info=row is _BUG)
    response = build_problem(row.status, error.code, row.detail or error.message, field=error.field)
    retry_after_s = error.retry_after_s or row.retry_after_s
    if retry_after_s is not None:
        response.headers["Retry-After"] = str(math.ceil(retry_after_s))
    if row.status == HTTPStatus.UNAUTHORIZED:
        response.headers["WWW-Authenticate"] = 'Bearer realm="erni"'
    return response


def answer_http_exception(error: HTTPException) -> WerkzeugResponse:
    """What routing and parsing refuse: unknown path, wrong method, broken body. Redirects pass unchanged."""
    if error.code is None or error.code < HTTPStatus.BAD_REQUEST or error.response is not None:
        return error.get_response()
    code = re.sub(r"(?<!^)(?=[A-Z])", "_", type(error).__name__).lower()
    response = build_problem(HTTPStatus(error.code), code, error.description or error.name)
    for name, value in error.get_headers():
        if name.lower() != "content-type":
            response.headers[name] = value
    return response


def answer_bug(error: Exception) -> Response:
    log.error("request_crashed", exc_info=error)
    return build_problem(_BUG.status, "internal", _BUG.detail or "")


def build_problem(status: HTTPStatus, code: str, detail: str, *, field: str | None = None) -> Response:
    """``code`` is stable and for programs, ``detail`` for people, ``field`` names the option at fault."""
    body: dict[str, Any] = {
        "type": f"urn:erni:problem:{code}",
        "title": code.replace("_", " ").capitalize(),
        "status": status.value,
        "detail": detail,
        "code": code,
    }
    if field is not None:
        body["field"] = field
    return Response(json.dumps(body) + "\n", status=status.value, mimetype=MEDIA_TYPE)
