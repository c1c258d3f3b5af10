"""One HTTP call to an engine's service: JSON or a file up, JSON down, and every fault as an error of our tree.

The only place that turns HTTP into ``EngineError``. One attempt per call: whether and when there is another one is
decided where it can be recorded. Knows no engine's words or turns, and tells no URL: one may carry a secret.
"""

from __future__ import annotations

import functools
import ipaddress
import json
import re
import ssl
import time
from collections.abc import Callable, Iterator, Mapping, Set
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from http import HTTPStatus
from pathlib import Path
from typing import IO, Any, Final, NoReturn

import httpx

from erni.errors import (
    ConfigError,
    EngineAnswerInvalid,
    EngineDown,
    EngineError,
    EngineNotAuthorised,
    EngineQuotaExhausted,
    EngineRateLimited,
    EngineRejected,
    EngineUnavailable,
    StorageError,
)

MAX_ANSWER_BYTES: Final = 64 * 1024**2
"""Some hundred hours of words with their times; more is not an answer."""

MAX_REFUSAL_BYTES: Final = 64 * 1024
"""A longer body of a refusal is no explanation."""

ANSWER_LOST: Final = frozenset({HTTPStatus.REQUEST_TIMEOUT, HTTPStatus.GATEWAY_TIMEOUT, 524})
"""What a gateway answers that gave up waiting for the server behind it: the call may have been done, and billed, all
the same. Source: RFC 9110, 15.6.5; Cloudflare's own 524 ("a timeout occurred": connected, no answer in time)."""

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
class FormFile:
    """A file as one ``part`` of a form (``multipart/form-data``), streamed from disk, and the form's other fields."""

    part: str
    file: Path
    filename: str
    content_type: str
    fields: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Refusal:
    """An answer that is no success. ``headers`` have no case; ``body`` is its JSON, ``None`` where it has none."""

    status: int
    headers: Mapping[str, str]
    body: object


@dataclass(frozen=True, slots=True)
class HttpService:
    """A service at ``url``. ``name`` begins its error messages; an answer takes ``timeout_s`` at most.

    ``headers`` go with every call to it. ``explain`` reads a refusal by the service's own rules; where it knows
    nothing to say (``None``, or no ``explain``), the status alone decides.

    Raises:
        ConfigError: the URL is not one of HTTP.
    """

    name: str
    url: str
    timeout_s: float
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    explain: Callable[[Refusal], EngineError | None] | None = None

    def __post_init__(self) -> None:
        if not is_http(self.url, {"http", "https"}):
            raise ConfigError(f"{self.name}: its URL must begin with http:// or https:// and name a host.")

    def get_json(self, path: str, parameters: Mapping[str, str] | None = None) -> object:
        """Raises as ``post_file``, but for StorageError."""
        return self._parse(self._send("GET", self._at(path), params=dict(parameters or {})))

    def post_json(self, path: str, body: Mapping[str, object]) -> object:
        """Raises as ``post_file``, but for StorageError."""
        return self._parse(self._send("POST", self._at(path), json=dict(body)))

    def post_file(self, path: str, call: FileCall) -> object:
        """Send the file and read the JSON of a successful answer: ``None``, numbers (finite), texts, lists, dicts.

        Raises:
            EngineRateLimited: 429, with what ``Retry-After`` asks for.
            EngineDown: any other 5xx, or no connection.
            EngineUnavailable: 408, 504 or 524, a connection that was cut, or no whole answer in time.
            EngineNotAuthorised: 401 or 403.
            EngineQuotaExhausted: 402.
            EngineRejected: any other refusal.
            EngineAnswerInvalid: the answer is no JSON, or too large.
            StorageError: the file cannot be read.
        """
        headers = {**call.headers, "Content-Type": call.content_type}
        with self._opened(call.file) as body:
            sent = self._send("POST", self._at(path), content=body, headers=headers, params=dict(call.parameters))
        return self._parse(sent)

    def post_form(self, path: str, form: FormFile) -> object:
        """As ``post_file``, the file being a part of a form."""
        with self._opened(form.file) as body:
            part = {form.part: (form.filename, body, form.content_type)}
            return self._parse(self._send("POST", self._at(path), files=part, data=dict(form.fields)))

    def put_file(self, url: str, file: Path) -> None:
        """Store the file under a presigned address that the service gave. Our key does not go there.

        Raises as ``post_file``, but:
            EngineAnswerInvalid: the address is none, or leads out of TLS; only a service on this host may do so.
            EngineUnavailable: 401 or 403 as well: the address is out of date, and the next call gets a new one.
        """
        if not is_http(url, {"http", "https"} if is_loopback(self.url) else {"https"}):
            raise EngineAnswerInvalid(f"{self.name} gave an address for the audio that cannot be used.")
        # An HttpService of its own, so that neither the key nor the reading of refusals comes along.
        store = HttpService(f"{self.name}'s store of uploads", url, self.timeout_s)
        with self._opened(file) as body:
            try:
                store._send("PUT", url, content=body)
            except EngineNotAuthorised as error:
                raise EngineUnavailable(error.message) from error

    def _at(self, path: str) -> str:
        return f"{self.url.rstrip('/')}{path}"

    @contextmanager
    def _opened(self, file: Path) -> Iterator[IO[bytes]]:
        try:
            with file.open("rb") as body:
                yield body
        except OSError as error:
            raise StorageError(f"The audio for {self.name} cannot be read ({error.strerror}).") from error

    def _send(self, method: str, url: str, *, headers: Mapping[str, str] | None = None, **content: Any) -> bytes:
        """The body of a successful answer. An upload takes what it takes: the time-out is one of the answer."""
        try:
            with self._open_client(url) as client:
                together = {**self.headers, **(headers or {})}
                with client.stream(method, url, headers=together, **content) as answer:
                    deadline_s = time.monotonic() + self.timeout_s
                    if not answer.is_success:
                        raise self._refused(answer, deadline_s)
                    return self._read(answer, deadline_s)
        except httpx.TimeoutException as error:
            raise self._too_slow() from error
        except httpx.ConnectError as error:
            raise EngineDown(f"{self.name} cannot be reached.") from error
        except httpx.TransportError as error:
            raise EngineUnavailable(f"{self.name} broke off its answer.") from error
        except httpx.RequestError as error:
            raise EngineAnswerInvalid(f"{self.name}'s answer is encoded wrongly.") from error

    def _open_client(self, url: str) -> httpx.Client:
        """A connection per call: one kept from the call before may be closed by now, which looks like a cut answer."""
        timeout = httpx.Timeout(self.timeout_s, connect=min(self.timeout_s, CONNECT_TIMEOUT_S))
        return httpx.Client(timeout=timeout, verify=_tls(), trust_env=not is_loopback(url))

    def _refused(self, answer: httpx.Response, deadline_s: float) -> EngineError:
        explained = None
        if self.explain is not None:
            refusal = Refusal(answer.status_code, answer.headers, self._read_refusal(answer, deadline_s))
            explained = self.explain(refusal)
        return explained or self._error_of(answer)

    def _read_refusal(self, answer: httpx.Response, deadline_s: float) -> object:
        """The JSON of a refusal; one that is unreadable, cut or far too long explains nothing."""
        try:
            content = self._read(answer, deadline_s, MAX_REFUSAL_BYTES)
            return self._parse(content)
        except (httpx.RequestError, EngineError):
            return None

    def _error_of(self, answer: httpx.Response) -> EngineError:
        status = answer.status_code
        said = f"{self.name} answered {status}{_phrase(status)}"
        retry_after_s = parse_retry_after(answer.headers.get("Retry-After"), datetime.now(UTC))
        if status in _MEANINGS:
            kind, meaning = _MEANINGS[status]
            return kind(f"{said}: {meaning}", retry_after_s=retry_after_s)
        if status in ANSWER_LOST:
            return EngineUnavailable(f"{said}: its answer did not come in time.", retry_after_s=retry_after_s)
        if answer.is_server_error:
            return EngineDown(f"{said}: it is out for now.", retry_after_s=retry_after_s)
        if answer.is_client_error:
            return EngineRejected(f"{said}: it refuses this call.")
        return EngineRejected(f"{said} where an answer was due. Check its URL.")

    def _read(self, answer: httpx.Response, deadline_s: float, max_bytes: int | None = None) -> bytes:
        """The body; a service that drips it is not waited for."""
        max_bytes = MAX_ANSWER_BYTES if max_bytes is None else max_bytes
        content = bytearray()
        for piece in answer.iter_bytes():
            content += piece
            if len(content) > max_bytes:
                raise EngineAnswerInvalid(f"{self.name}'s answer is larger than {max_bytes} bytes.")
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


_MEANINGS: Final[Mapping[int, tuple[type[EngineError], str]]] = {
    HTTPStatus.UNAUTHORIZED: (EngineNotAuthorised, "it does not accept our key."),
    HTTPStatus.FORBIDDEN: (EngineNotAuthorised, "our key may not do this."),
    HTTPStatus.PAYMENT_REQUIRED: (EngineQuotaExhausted, "our account there has no money left."),
    HTTPStatus.TOO_MANY_REQUESTS: (EngineRateLimited, "it was asked too often."),
}
"""What a status says whoever sends it; other ones count by their class."""


def bearer(secret: str, name: str) -> Mapping[str, str]:
    """The header that shows our key. Raises ConfigError: the key of ``name`` cannot be put into one."""
    if not re.fullmatch(r"[!-~]+", secret):
        raise ConfigError(f"The key of {name} must be one word of ASCII. Copy it again, without quotes or spaces.")
    return {"Authorization": f"Bearer {secret}"}


def is_http(url: str, schemes: Set[str]) -> bool:
    """Whether it is an address with one of these schemes and a host."""
    try:
        parsed = httpx.URL(url)
    except httpx.InvalidURL:
        return False
    return parsed.scheme in schemes and bool(parsed.host)


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


def is_loopback(url: str) -> bool:
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
