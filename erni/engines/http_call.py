"""One HTTP call to an engine's service: a file up, JSON down, and every fault as an error of our tree.

The only place that turns HTTP into ``EngineError``. One attempt per call: whether and when there is another one is
decided where it can be recorded. Knows no engine's words or turns, and tells no URL: one may carry a secret.
"""

from __future__ import annotations

import functools
import ipaddress
import json
import ssl
import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from http import HTTPStatus
from pathlib import Path
from typing import Final, NoReturn

import httpx

from erni.errors import (
    ConfigError,
    EngineAnswerInvalid,
    EngineRateLimited,
    EngineRejected,
    EngineUnavailable,
    StorageError,
)

MAX_ANSWER_BYTES: Final = 64 * 1024**2
"""Some hundred hours of words with their times; more is not an answer."""

MAX_RETRY_AFTER_S: Final = 24 * 3600.0
CONNECT_TIMEOUT_S: Final = 10.0


@dataclass(frozen=True, slots=True)
class FileCall:
    """What to send: the file is the body, streamed from disk. Headers and parameters are the service's own."""

    file: Path
    content_type: str
    headers: Mapping[str, str]
    parameters: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class HttpService:
    """A service at ``url``. ``name`` begins its error messages; an answer takes ``timeout_s`` at most.

    Raises:
        ConfigError: the URL is not one of HTTP.
    """

    name: str
    url: str
    timeout_s: float

    def __post_init__(self) -> None:
        try:
            is_http = httpx.URL(self.url).scheme in {"http", "https"} and bool(httpx.URL(self.url).host)
        except httpx.InvalidURL:
            is_http = False
        if not is_http:
            raise ConfigError(f"{self.name}: its URL must begin with http:// or https:// and name a host.")

    def post_file(self, path: str, call: FileCall) -> object:
        """Send the file and read the JSON of a successful answer: ``None``, numbers (finite), texts, lists, dicts.

        Raises:
            EngineRateLimited: 429, with what ``Retry-After`` asks for.
            EngineUnavailable: 408 or 5xx, no connection, a cut one, or no whole answer in time.
            EngineRejected: any other refusal.
            EngineAnswerInvalid: the answer is no JSON, or too large.
            StorageError: the file cannot be read.
        """
        deadline_s = time.monotonic() + self.timeout_s
        try:
            with call.file.open("rb") as body, self._open_client() as client:
                headers = {**call.headers, "Content-Type": call.content_type}
                sent = client.stream(
                    "POST", f"{self.url.rstrip('/')}{path}", content=body, headers=headers, params=dict(call.parameters)
                )
                with sent as answer:
                    self._check_status(answer)
                    content = self._read(answer, deadline_s)
        except httpx.TimeoutException as error:
            raise self._too_slow() from error
        except httpx.TransportError as error:
            raise EngineUnavailable(f"{self.name} cannot be reached, or broke off its answer.") from error
        except httpx.RequestError as error:
            raise EngineAnswerInvalid(f"{self.name}'s answer is encoded wrongly.") from error
        except OSError as error:
            raise StorageError(f"The audio for {self.name} cannot be read ({error.strerror}).") from error
        return self._parse(content)

    def _open_client(self) -> httpx.Client:
        """A connection per call: one kept from the call before may be closed by now, which looks like a cut answer."""
        timeout = httpx.Timeout(self.timeout_s, connect=min(self.timeout_s, CONNECT_TIMEOUT_S))
        return httpx.Client(timeout=timeout, verify=_tls(), trust_env=not _is_loopback(self.url))

    def _check_status(self, answer: httpx.Response) -> None:
        status = answer.status_code
        if answer.is_success:
            return
        said = f"{self.name} answered {status}{_phrase(status)}"
        retry_after_s = parse_retry_after(answer.headers.get("Retry-After"), datetime.now(UTC))
        if status == HTTPStatus.TOO_MANY_REQUESTS:
            raise EngineRateLimited(f"{said}: it was asked too often.", retry_after_s=retry_after_s)
        if answer.is_server_error or status == HTTPStatus.REQUEST_TIMEOUT:
            raise EngineUnavailable(f"{said}: it is out for now.", retry_after_s=retry_after_s)
        if answer.is_client_error:
            raise EngineRejected(f"{said}: it refuses this call.")
        raise EngineRejected(f"{said} where an answer was due. Check its URL.")

    def _read(self, answer: httpx.Response, deadline_s: float) -> bytes:
        """The body; a service that drips it is not waited for."""
        content = bytearray()
        for piece in answer.iter_bytes():
            content += piece
            if len(content) > MAX_ANSWER_BYTES:
                raise EngineAnswerInvalid(f"{self.name}'s answer is larger than {MAX_ANSWER_BYTES} bytes.")
            if time.monotonic() > deadline_s:
                raise self._too_slow()
        return bytes(content)

    def _too_slow(self) -> EngineUnavailable:
        return EngineUnavailable(f"{self.name} did not answer within {self.timeout_s:g} s.")

    def _parse(self, content: bytes) -> object:
        try:
            return json.loads(content, parse_constant=_refuse_constant)
        except (ValueError, RecursionError) as error:
            raise EngineAnswerInvalid(f"{self.name}'s answer is not JSON.") from error


def parse_retry_after(text: str | None, now: datetime) -> float | None:
    """Seconds from ``now``, at least 0 and at most a day, of a number of seconds or a date (RFC 9110, 10.2.3).

    ``None`` without the header and for what is neither.
    """
    text = (text or "").strip()
    if text.isascii() and text.isdigit():
        return min(float(text), MAX_RETRY_AFTER_S)
    try:
        at = parsedate_to_datetime(text)
    except (ValueError, OverflowError):
        return None
    at = at if at.tzinfo is not None else at.replace(tzinfo=UTC)
    return min(max(0.0, (at - now).total_seconds()), MAX_RETRY_AFTER_S)


@functools.cache
def _tls() -> ssl.SSLContext:
    """Made once: reading the authorities' certificates takes longer than a local call."""
    return httpx.create_ssl_context()


def _is_loopback(url: str) -> bool:
    """A proxy named by the environment never leads back to this host."""
    host = httpx.URL(url).host
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _phrase(status: int) -> str:
    """The status in words, from our own list: a server's own words are not repeated."""
    try:
        return f" ({HTTPStatus(status).phrase})"
    except ValueError:
        return ""


def _refuse_constant(name: str) -> NoReturn:
    """``json`` would take NaN and Infinity, which are no JSON."""
    raise ValueError(name)
