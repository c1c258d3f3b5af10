"""What engines can do and what they cost, as data. The planner, the option check, the quote, the fallback order and the
limits read this; nothing else knows a model's name. Pure: where the rows come from is the catalogue's business.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Final, Literal

Timing = Literal["word", "segment", "none"]
"""The finest times a model gives: of words, of segments, or none at all."""

Grade = Literal["demo", "production"]

RETIREMENT_NOTICE: Final = timedelta(days=90)
"""How long before its end an engine is warned of."""

SECONDS_PER_MINUTE: Final = 60.0

MOST_BYTES_PER_S: Final[Mapping[str, float]] = {
    "flac": 34_000.0,
    "wav": 32_100.0,
    "mp3": 8_400.0,
    "ogg": 8_000.0,
    "m4a": 12_000.0,
}
"""What a second of 16 kHz mono takes at most: noise for FLAC, twice the mean rate for Opus, which varies its own."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Terms:
    """Under what conditions a remote engine may be called.

    ``account`` names whose limits the calls count against (provider and a fingerprint of the key, never the key);
    ``requests_per_minute`` and ``concurrency`` are the limits, ``None`` where none is known. After ``retires_on`` the
    vendor answers no more.
    """

    account: str
    requests_per_minute: int | None = None
    concurrency: int | None = None
    retires_on: date | None = None

    def is_retired(self, today: date) -> bool:
        return self.retires_on is not None and today >= self.retires_on

    def retires_soon(self, today: date) -> bool:
        """Within the notice; no longer once it is retired."""
        return self.retires_on is not None and self.retires_on - RETIREMENT_NOTICE <= today < self.retires_on


@dataclass(frozen=True, slots=True)
class TranscriberCapabilities:
    """What a transcriber can do.

    ``languages`` holds ISO 639-1 codes, or is ``None`` when the model does any language it is asked for.
    ``upload_format`` is the encoding it is sent audio in (a name ``media.audio`` can write), and ``max_bytes`` how much
    of it. ``fingerprint`` is what besides the model decides its answers (library, version, precision, beam): part of
    the key of cached results. Of an engine that tells speakers apart as well, ``max_speakers`` is how many. Without
    ``terms`` the engine is a model on this machine.
    """

    engine: str
    model: str
    languages: frozenset[str] | None
    upload_format: str = "flac"
    target_chunk_s: float | None = None
    max_chunk_s: float | None = None
    has_prompt: bool = True
    grade: Grade = "production"
    fingerprint: str = ""
    usd_per_minute: float = 0.0
    minimum_billed_s: float = 0.0
    max_bytes: int | None = None
    times: Timing = "word"
    has_keywords: bool = False
    max_speakers: int | None = None
    terms: Terms | None = None

    @property
    def longest_chunk_s(self) -> float | None:
        """By its seconds and, at the most its encoding may take, by its bytes; ``None`` where there is no limit."""
        by_bytes = self.max_bytes and self.max_bytes / MOST_BYTES_PER_S[self.upload_format]
        return min((limit for limit in (self.max_chunk_s, by_bytes) if limit is not None), default=None)

    def price(self, audio_s: float) -> float:
        return _price(self.usd_per_minute, self.minimum_billed_s, audio_s)


@dataclass(frozen=True, slots=True)
class DiarizerCapabilities:
    """What a diarizer can do. Fingerprint, price and terms as for a transcriber.

    ``max_voiceprints`` is how many known voices one call of it can be asked for, 0 when it knows none. It takes
    recordings of ``max_bytes`` and ``max_audio_s`` at most.
    """

    engine: str
    model: str
    has_speaker_count: bool = True
    max_speakers: int | None = None
    fingerprint: str = ""
    usd_per_minute: float = 0.0
    minimum_billed_s: float = 0.0
    max_voiceprints: int = 0
    usd_per_minute_identify: float = 0.0
    max_bytes: int | None = None
    max_audio_s: float | None = None
    terms: Terms | None = None

    def price(self, audio_s: float) -> float:
        return _price(self.usd_per_minute, self.minimum_billed_s, audio_s)


@dataclass(frozen=True, slots=True)
class VoiceprintCapabilities:
    """What making a voiceprint costs, and under what terms. ``engine`` is who knows the voice by it afterwards."""

    engine: str
    model: str
    usd_per_minute: float = 0.0
    minimum_billed_s: float = 0.0
    terms: Terms | None = None

    @property
    def provider(self) -> str:
        """The vendor's part of the engine's name."""
        return self.engine.partition("/")[0]

    def price(self, audio_s: float) -> float:
        return _price(self.usd_per_minute, self.minimum_billed_s, audio_s)


def _price(usd_per_minute: float, minimum_billed_s: float, audio_s: float) -> float:
    return usd_per_minute * max(minimum_billed_s, audio_s) / SECONDS_PER_MINUTE
