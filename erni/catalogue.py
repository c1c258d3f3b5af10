"""The rows of ``catalogue.toml``: what vendors' models can do and cost. Read here, once; used as capabilities.

An operator's file changes rows or adds some. Knows no vendor's protocol.
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any, Final, Literal

from pydantic import BaseModel, ConfigDict, Field, NonNegativeFloat, PositiveFloat, PositiveInt, ValidationError

from erni.capabilities import DiarizerCapabilities, Terms, Timing, TranscriberCapabilities, VoiceprintCapabilities
from erni.errors import ConfigError

Kind = Literal["transcriber", "diarizer", "one_shot"]
UploadFormat = Literal["flac", "wav", "mp3", "ogg", "m4a"]

BUILT_IN: Final = Path(__file__).with_name("catalogue.toml")
MINUTES_PER_HOUR: Final = 60.0


MOST_TOKENS_PER_S: Final = 6.0
"""Very fast speech: four and a half words a second, by OpenAI's rule of thumb of four tokens for three words."""

_PRICES: Final = (
    ("usd_per_minute", "eur_per_hour"),
    ("usd_per_minute_identify", "eur_per_hour_identify"),
    ("usd_per_minute_voiceprint", "eur_per_hour_voiceprint"),
)
"""Pairs of which a row has one: its own currency and unit."""


class Row(BaseModel):
    """One model of one vendor. Seconds and bytes are limits of a single call.

    ``kind`` says which port it fills. ``languages`` are ISO 639-1 codes, ``None`` for any. ``requests_per_minute`` and
    ``concurrency`` are limits of the account. ``usd_per_second`` is the price of a second of the vendor's hardware.
    ``usd_per_minute`` holds the price in dollars whatever currency the row gave.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", protected_namespaces=())

    provider: str = Field(min_length=1)
    model: str = Field(min_length=1)
    kind: Kind
    source: str = Field(min_length=1)
    seen_on: date
    times: Timing = "word"
    upload_format: UploadFormat = "flac"
    max_bytes: PositiveInt | None = None
    max_seconds: PositiveFloat | None = None
    max_output_tokens: PositiveInt | None = None
    languages: frozenset[str] | None = None
    prompt: bool = False
    keywords: bool = False
    max_speakers: PositiveInt | None = None
    max_voiceprints: int = Field(0, ge=0)
    usd_per_minute: NonNegativeFloat = 0.0
    usd_per_minute_identify: NonNegativeFloat = 0.0
    usd_per_minute_voiceprint: NonNegativeFloat = 0.0
    usd_per_second: NonNegativeFloat = 0.0
    usd_per_million_audio_tokens: NonNegativeFloat | None = None
    usd_per_million_text_tokens: NonNegativeFloat | None = None
    usd_per_million_output_tokens: NonNegativeFloat | None = None
    minimum_billed_s: NonNegativeFloat = 0.0
    requests_per_minute: PositiveInt | None = None
    concurrency: PositiveInt | None = None
    retires_on: date | None = None

    @property
    def engine(self) -> str:
        """What callers name the engine by."""
        return f"{self.provider}/{self.model}"

    def terms(self, account: str) -> Terms:
        return Terms(
            account=account,
            requests_per_minute=self.requests_per_minute,
            concurrency=self.concurrency,
            retires_on=self.retires_on,
        )

    def transcriber(self, account: str, *, engine: str | None = None) -> TranscriberCapabilities:
        """As a transcriber's (or one-shot engine's) capabilities, under a name of its own if it has one."""
        return TranscriberCapabilities(
            engine=engine or self.engine,
            model=self.model,
            languages=self.languages,
            upload_format=self.upload_format,
            max_chunk_s=self._longest_call_s(),
            has_prompt=self.prompt,
            usd_per_minute=self.usd_per_minute,
            minimum_billed_s=self.minimum_billed_s,
            max_bytes=self.max_bytes,
            times=self.times,
            has_keywords=self.keywords,
            max_speakers=self.max_speakers,
            terms=self.terms(account),
        )

    def diarizer(self, account: str, *, engine: str | None = None) -> DiarizerCapabilities:
        return DiarizerCapabilities(
            engine=engine or self.engine,
            model=self.model,
            max_speakers=self.max_speakers,
            usd_per_minute=self.usd_per_minute,
            minimum_billed_s=self.minimum_billed_s,
            max_voiceprints=self.max_voiceprints,
            usd_per_minute_identify=self.usd_per_minute_identify,
            max_bytes=self.max_bytes,
            max_audio_s=self.max_seconds,
            terms=self.terms(account),
        )

    def voiceprint_maker(self, account: str) -> VoiceprintCapabilities:
        return VoiceprintCapabilities(
            engine=self.engine,
            model=self.model,
            usd_per_minute=self.usd_per_minute_voiceprint,
            minimum_billed_s=self.minimum_billed_s,
            terms=self.terms(account),
        )

    def _longest_call_s(self) -> float | None:
        """The stricter of the limits on seconds and on what fits into the answer; bytes are bounded apart from it."""
        limits = [] if self.max_seconds is None else [self.max_seconds]
        if self.max_output_tokens is not None:
            limits.append(self.max_output_tokens / MOST_TOKENS_PER_S)
        return min(limits, default=None)


@dataclass(frozen=True, slots=True)
class Catalogue:
    """All rows, in the order of the files."""

    rows: tuple[Row, ...]

    def find(self, provider: str, model: str) -> Row:
        """Raises ConfigError: there is no such row."""
        for row in self.rows:
            if (row.provider, row.model) == (provider, model):
                return row
        known = ", ".join(row.model for row in self.rows if row.provider == provider) or "none"
        raise ConfigError(
            f"The catalogue has no model {model!r} of {provider} (it knows {known})."
            " Add a row for it to the file that ERNI_CATALOGUE names."
        )

    def of(self, provider: str, kind: Kind) -> tuple[Row, ...]:
        """A vendor's models of one kind."""
        return tuple(row for row in self.rows if (row.provider, row.kind) == (provider, kind))


def load_catalogue(extra: Path | None, usd_per_eur: float) -> Catalogue:
    """The built-in rows, changed and joined by those of the operator's file.

    Raises:
        ConfigError: a file cannot be read, or a row is wrong; says which and why.
    """
    rows = {_key(row): row for row in _read_rows(BUILT_IN)}
    for row in _read_rows(extra) if extra is not None else ():
        rows[_key(row)] = {**_without_other_prices(rows.get(_key(row), {}), row), **row}
    return Catalogue(tuple(_parse(row, usd_per_eur) for row in rows.values()))


def _key(row: Mapping[str, Any]) -> tuple[object, object]:
    return row.get("provider"), row.get("model")


def _read_rows(path: Path) -> Iterable[dict[str, Any]]:
    try:
        content = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ConfigError(f"The catalogue {path} cannot be read: {error}") from error
    rows = content.pop("row", [])
    if content or not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        raise ConfigError(f"The catalogue {path} may hold tables named [[row]] only.")
    return rows


def _without_other_prices(row: Mapping[str, Any], change: Mapping[str, Any]) -> dict[str, Any]:
    """The row, but for prices that ``change`` gives in another currency."""
    replaced = {name for pair in _PRICES if change.keys() & set(pair) for name in pair}
    return {name: value for name, value in row.items() if name not in replaced}


def _parse(row: Mapping[str, Any], usd_per_eur: float) -> Row:
    try:
        return Row.model_validate(_in_dollars(row, usd_per_eur))
    except ValidationError as error:
        reasons = "; ".join(
            f"{'.'.join(map(str, detail['loc']))}: {detail['msg']}" for detail in error.errors(include_url=False)
        )
        raise ConfigError(f"The catalogue's row {_name(row)} is wrong. {reasons}") from None


def _in_dollars(row: Mapping[str, Any], usd_per_eur: float) -> dict[str, Any]:
    fields = dict(row)
    for usd_per_minute, eur_per_hour in _PRICES:
        if eur_per_hour not in fields:
            continue
        price = fields.pop(eur_per_hour)
        if usd_per_minute in fields or not isinstance(price, int | float):
            raise ConfigError(
                f"The catalogue's row {_name(row)} is wrong: {eur_per_hour} must be a number, without {usd_per_minute}."
            )
        fields[usd_per_minute] = price * usd_per_eur / MINUTES_PER_HOUR
    return fields


def _name(row: Mapping[str, Any]) -> str:
    return f"{row.get('provider', '?')}/{row.get('model', '?')}"
