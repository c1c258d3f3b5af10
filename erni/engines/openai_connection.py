"""One call to OpenAI, or to a server that speaks its protocol, through the official SDK: audio up, bytes down, faults
as errors of the tree. Knows no words.

The SDK's own retries are off, and nothing it would read from the environment gets into a call. Its import costs most
of a second, so it waits for the first use.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import date
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urljoin

from erni.engines.http_call import CONNECT_TIMEOUT_S, MAX_ANSWER_BYTES, HttpService, is_loopback
from erni.engines.openai_answers import parse_shutdown_dates
from erni.engines.openai_refusals import Refusal, explain_refusal
from erni.errors import ConfigError, EngineAnswerInvalid, EngineDown, EngineUnavailable

if TYPE_CHECKING:
    import httpx2
    import openai

PROBE_TIMEOUT_S: Final = 10.0
NO_KEY: Final = "none"
"""The SDK wants a key; without one of ours no key is sent."""

_OWN_HEADERS: Final = frozenset(
    {"accept", "accept-encoding", "connection", "content-length", "content-type", "host", "transfer-encoding"}
    | {"user-agent", "authorization", "openai-project"}
)
"""What a call may carry besides the SDK's ``x-stainless-`` facts. Anything else came from ``OPENAI_CUSTOM_HEADERS`` or
``OPENAI_ORG_ID``, which are no settings of ours."""


@dataclass(frozen=True, slots=True)
class Upload:
    """A file to transcribe, with a name and a type that say what is in it."""

    name: str
    content: bytes
    media_type: str


@dataclass(slots=True)
class OpenAIConnection:
    """An account at ``base_url`` (up to and with ``/v1``). ``name`` begins error messages.

    Each call opens a connection of its own: one kept from the call before may be closed by now, which looks like an
    answer cut short.

    Raises:
        ConfigError: the URL is not one of HTTP, or the key cannot be sent in a header.
    """

    name: str
    base_url: str
    api_key: str | None = field(default=None, repr=False)
    project: str | None = None
    timeout_s: float = 300.0
    _client: openai.OpenAI | None = field(default=None, init=False, repr=False)

    def __post_init__(self) -> None:
        HttpService(self.name, self.base_url, self.timeout_s)
        for secret in (self.api_key, self.project):
            if secret is not None and not (secret.isascii() and secret.isprintable() and secret.strip() == secret):
                raise ConfigError(f"{self.name}: its key or project has characters that no header can carry.")

    def load(self) -> None:
        """Import the SDK and set up its client. May run twice."""
        if self._client is None:
            self._client = self._make_client()

    def transcribe(self, upload: Upload, form: Mapping[str, Any]) -> bytes:
        """Send the file with the form's fields; the body of a successful answer.

        Raises:
            EngineRateLimited: asked too often, with what it says of waiting.
            EngineQuotaExhausted: no credit or quota left.
            EngineDown: 409, 425 or any other 5xx, or no connection.
            EngineUnavailable: 408, 504 or 524, a connection that was cut, or no whole answer in time.
            EngineNotAuthorised: the key is refused.
            EngineRejected: any other refusal.
            EngineAnswerInvalid: the answer is too large, or its encoding is broken.
        """
        deadline_s = time.monotonic() + self.timeout_s
        with self._calling() as client:
            create: Any = client.audio.transcriptions.with_streaming_response.create
            with create(file=(upload.name, upload.content, upload.media_type), **form) as answer:
                return self._read(answer.iter_bytes(), deadline_s)

    def shutdown_dates(self) -> Mapping[str, date | None]:
        """The account's models, each with the day it ends, where one is announced. Cheap: a sign of life.

        Raises as ``transcribe``.
        """
        deadline_s = time.monotonic() + PROBE_TIMEOUT_S
        with self._calling() as client:
            quick = client.with_options(timeout=min(self.timeout_s, PROBE_TIMEOUT_S))
            with quick.models.with_streaming_response.list() as answer:
                content = self._read(answer.iter_bytes(), deadline_s)
        return parse_shutdown_dates(content, self.name)

    def check_health(self, path: str) -> None:
        """Ask for ``path`` at the server's root. Raises as ``transcribe``."""
        with self._calling() as client:
            quick = client.with_options(timeout=min(self.timeout_s, PROBE_TIMEOUT_S))
            quick.get(urljoin(self.base_url, path), cast_to=object)

    @contextmanager
    def _calling(self) -> Iterator[openai.OpenAI]:
        """The client, while inside; whatever it raises becomes an error of ours."""
        self.load()
        import httpx2
        import openai

        if self._client is None:
            raise EngineUnavailable(f"{self.name} is not loaded.")
        try:
            yield self._client
        except openai.APIStatusError as error:
            refusal = Refusal(self.name, error.status_code, error.body, dict(error.response.headers))
            raise explain_refusal(refusal) from error
        except (openai.APITimeoutError, httpx2.TimeoutException) as error:
            raise self._too_slow() from error
        except (openai.APIResponseValidationError, httpx2.DecodingError, ValueError) as error:
            raise EngineAnswerInvalid(f"{self.name}'s answer cannot be read.") from error
        except (openai.APIConnectionError, httpx2.TransportError) as error:
            if isinstance(error.__cause__, httpx2.ConnectError):
                raise EngineDown(f"{self.name} cannot be reached.") from error
            raise EngineUnavailable(f"{self.name} broke off its answer.") from error
        except openai.OpenAIError as error:
            raise EngineAnswerInvalid(f"{self.name}'s answer cannot be read.") from error

    def _read(self, pieces: Iterator[bytes], deadline_s: float) -> bytes:
        """The body; a server that drips it is not waited for."""
        content = bytearray()
        for piece in pieces:
            content += piece
            if len(content) > MAX_ANSWER_BYTES:
                raise EngineAnswerInvalid(f"{self.name}'s answer is larger than {MAX_ANSWER_BYTES} bytes.")
            if time.monotonic() > deadline_s:
                raise self._too_slow()
        return bytes(content)

    def _too_slow(self) -> EngineUnavailable:
        return EngineUnavailable(f"{self.name} did not answer within {self.timeout_s:g} s.")

    def _make_client(self) -> openai.OpenAI:
        import httpx2
        import openai

        timeout = httpx2.Timeout(self.timeout_s, connect=min(self.timeout_s, CONNECT_TIMEOUT_S))
        transport = httpx2.Client(
            timeout=timeout,
            limits=httpx2.Limits(max_keepalive_connections=0),
            # A redirect would take the audio and the key to somewhere nobody configured.
            follow_redirects=False,
            # A proxy named by the environment never leads back to this host.
            trust_env=not is_loopback(self.base_url),
            event_hooks={"request": [self._keep_own_headers]},
        )
        return openai.OpenAI(
            api_key=self.api_key or NO_KEY,
            base_url=self.base_url,
            project=self.project or "",
            organization="",
            timeout=timeout,
            max_retries=0,
            http_client=transport,
        )

    def _keep_own_headers(self, request: httpx2.Request) -> None:
        own = {"authorization": f"Bearer {self.api_key}" if self.api_key else None, "openai-project": self.project}
        for name in list(request.headers):
            if name not in _OWN_HEADERS and not name.startswith("x-stainless-"):
                del request.headers[name]
        for name, value in own.items():
            request.headers.pop(name, None)
            if value is not None:
                request.headers[name] = value
