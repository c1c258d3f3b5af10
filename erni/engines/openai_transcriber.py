"""Transcribers over OpenAI's protocol: its own models by the catalogue's rows, and servers that speak it."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import date
from typing import Final

from erni.capabilities import SECONDS_PER_MINUTE, Terms, Timing, TranscriberCapabilities
from erni.catalogue import Catalogue, Row
from erni.engine_ports import TranscriptionRequest
from erni.engines.accounts import account_of
from erni.engines.openai_answers import Asked, parse_answer
from erni.engines.openai_connection import OpenAIConnection, Upload
from erni.engines.openai_requests import DIALECTS, OPENAI, Dialect, ServerKind, build_form
from erni.engines.uploads import Uploads
from erni.errors import EngineRejected
from erni.media.audio import AUDIO_FORMATS
from erni.model import Bill, Notice, Recognition

PROVIDER: Final = "openai"
TOKENS_PER_PRICE: Final = 1e6


@dataclass(frozen=True, slots=True)
class OpenAITranscriber:
    """Transcriber over one model. ``row`` has its limits and prices; a server of one's own has none.

    The speakers a diarizing model names are not used: its labels begin anew with every chunk.
    """

    connection: OpenAIConnection
    capabilities: TranscriberCapabilities
    dialect: Dialect
    uploads: Uploads
    row: Row | None = None

    def load(self) -> None:
        self.connection.load()

    def transcribe(self, request: TranscriptionRequest) -> Recognition:
        """One call; the checkpoint before it only: what was answered is paid for and is kept.

        Words of a model without times of words are ``estimated``: inside their segment, or anywhere in the chunk.

        Raises:
            EngineError: as ``OpenAIConnection.transcribe``; EngineRejected, without a call, where the chunk is beyond
                the model's limits; EngineAnswerInvalid where the answer makes no sense.
            JobStopped: the checkpoint said so.
        """
        started = time.perf_counter()
        self._check_length(request.duration_s)
        upload = self._encode(request)
        request.checkpoint()
        content = self.connection.transcribe(upload, build_form(request, self.capabilities, self.dialect))
        asked = Asked(self.connection.name, request.duration_s, may_be_plain=not self.dialect.is_vendor)
        answer = parse_answer(content, asked)
        return Recognition(
            engine=self.capabilities.engine,
            model=self.capabilities.model,
            language=request.language or answer.language,
            words=answer.words,
            warnings=(*answer.warnings, *self._cut_off_notices(answer.usage)),
            engine_s=time.perf_counter() - started,
            bill=None if self.row is None else price_usage(self.row, answer.usage, request.duration_s),
            places=answer.places,
        )

    def probe(self) -> Mapping[str, date | None]:
        """A cheap call: raises EngineError where the service is out or refuses the key.

        Returns the models it has, each with the day it ends where one is announced; nothing where it keeps no list.
        """
        if self.dialect.health is not None:
            self.connection.check_health(self.dialect.health)
            return {}
        return self.connection.shutdown_dates()

    def _check_length(self, duration_s: float) -> None:
        limit_s = self.row.max_seconds if self.row is not None else None
        if limit_s is not None and duration_s > limit_s:
            raise EngineRejected(
                f"{self.connection.name} takes {limit_s:g} s of audio at a time; this chunk has {duration_s:.0f} s."
            )

    def _cut_off_notices(self, usage: Mapping[str, float]) -> Iterator[Notice]:
        """An answer as long as the model's longest one is likely cut off."""
        limit = self.row.max_output_tokens if self.row is not None else None
        if limit is not None and usage.get("output_tokens", 0.0) >= limit:
            yield Notice(
                "answer_cut_off",
                f"{self.connection.name} answered with as much text as {self.capabilities.model} can write at a time:"
                " the end of this part may be missing. Set a shorter ERNI_CHUNKS__MAX_S.",
            )

    def _encode(self, request: TranscriptionRequest) -> Upload:
        audio_format, limit = self.capabilities.upload_format, self.capabilities.max_bytes
        with self.uploads.encoded(request.audio, audio_format, request.checkpoint) as encoded:
            size = encoded.stat().st_size
            if limit is not None and size > limit:
                raise EngineRejected(
                    f"{self.connection.name} takes {limit} bytes at a time; this chunk has {size} as {audio_format}."
                )
            content = encoded.read_bytes()
        return Upload(f"audio.{audio_format}", content, AUDIO_FORMATS[audio_format].media_type)


def openai_transcribers(
    connection: OpenAIConnection, catalogue: Catalogue, uploads: Uploads
) -> dict[str, OpenAITranscriber]:
    """One for each of OpenAI's models in the catalogue, by the name callers use."""
    account = account_of(PROVIDER, connection.api_key)
    found: dict[str, OpenAITranscriber] = {}
    for row in catalogue.of(PROVIDER, "transcriber"):
        capabilities = replace(row.transcriber(account), fingerprint=row.upload_format)
        found[row.engine] = OpenAITranscriber(connection, capabilities, OPENAI, uploads, row)
    return found


@dataclass(frozen=True, slots=True)
class ServerTerms:
    """What is known of a server of one's own: which model to ask for, whose deviations to expect, the finest ``times``
    it gives where those are not the usual ones of its kind, and its limits.
    """

    model: str
    kind: ServerKind = "openai"
    times: Timing | None = None
    concurrency: int | None = None
    requests_per_minute: int | None = None


def server_transcriber(
    engine: str, connection: OpenAIConnection, terms: ServerTerms, uploads: Uploads
) -> OpenAITranscriber:
    """For a server that speaks the protocol, as ``engine``. It costs nothing, and its limits are the operator's."""
    dialect = DIALECTS[terms.kind]
    times = terms.times or dialect.times
    capabilities = TranscriberCapabilities(
        engine=engine,
        model=terms.model,
        languages=None,
        upload_format=dialect.upload_format,
        fingerprint=f"{terms.kind} {dialect.upload_format} times={times}",
        times=times,
        has_keywords=dialect.keywords_field is not None,
        terms=Terms(
            account=account_of(engine, connection.api_key),
            requests_per_minute=terms.requests_per_minute,
            concurrency=terms.concurrency,
        ),
    )
    return OpenAITranscriber(connection, capabilities, dialect, uploads)


def price_usage(row: Row, usage: Mapping[str, float], duration_s: float) -> Bill | None:
    """What a call cost by the vendor's own numbers: tokens where the model has prices for them, else seconds, else the
    audio's length. ``None`` where the vendor gave no numbers.
    """
    if not usage:
        return None
    if row.usd_per_million_audio_tokens is not None and "input_tokens" in usage:
        text_tokens = usage.get("text_tokens", 0.0)
        audio_tokens = usage.get("audio_tokens", usage["input_tokens"] - text_tokens)
        usd = (
            audio_tokens * row.usd_per_million_audio_tokens
            + text_tokens * (row.usd_per_million_text_tokens or 0.0)
            + usage.get("output_tokens", 0.0) * (row.usd_per_million_output_tokens or 0.0)
        ) / TOKENS_PER_PRICE
    else:
        usd = row.usd_per_minute * usage.get("seconds", duration_s) / SECONDS_PER_MINUTE
    return Bill(usd, usage)
