"""What a job would cost at vendors, from what engines declare and how its recording is cut, or will be. Pure.

A quote is what the calls of a job cost together when each is answered at once; calls that fail and are repeated may
cost more. Before the upload nobody knows where a recording is silent, so that it is priced as one long speech: the
job itself costs less.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date
from typing import Final, Generic, TypeVar

from erni.capabilities import SECONDS_PER_MINUTE, DiarizerCapabilities, TranscriberCapabilities
from erni.chunking import PAD_S, ChunkLimits
from erni.errors import InvalidOption
from erni.jobs import JobOptions

Capabilities = TranscriberCapabilities | DiarizerCapabilities
AnyCapabilities = TypeVar("AnyCapabilities", TranscriberCapabilities, DiarizerCapabilities)

_ONE_SHOT: Final = "replicate"


@dataclass(frozen=True, slots=True)
class Engines:
    """What the engines of this installation declare, by name."""

    transcribers: Mapping[str, TranscriberCapabilities]
    diarizers: Mapping[str, DiarizerCapabilities]
    one_shots: Mapping[str, TranscriberCapabilities]


@dataclass(frozen=True, slots=True)
class Recording:
    """What is to be priced. ``chunks_s`` is the audio of each chunk with its overlaps, ``None`` before it was cut."""

    duration_s: float
    chunks_s: tuple[float, ...] | None = None


@dataclass(frozen=True, slots=True)
class Item(Generic[AnyCapabilities]):
    """The calls of a job to one engine: how many, the seconds they are billed for together, and their price."""

    capabilities: AnyCapabilities
    calls: int
    billed_s: float
    usd_per_minute: float

    @property
    def usd(self) -> float:
        return self.usd_per_minute * self.billed_s / SECONDS_PER_MINUTE


@dataclass(frozen=True, slots=True)
class Quote:
    """What a job with these options costs. Diarization is part of the transcription where one engine does both;
    identification is what looking for known voices adds.
    """

    options: JobOptions
    transcription: Item[TranscriberCapabilities]
    diarization: Item[DiarizerCapabilities] | None = None
    identification: Item[DiarizerCapabilities] | None = None

    @property
    def total_usd(self) -> float:
        items = (self.transcription, self.diarization, self.identification)
        return sum(item.usd for item in items if item is not None)


def call_price(options: JobOptions, capabilities: Capabilities, audio_s: float) -> float:
    """Dollars for one call with so much audio, in which a diarizer that knows voices is asked for the job's."""
    usd = capabilities.price(audio_s)
    if isinstance(capabilities, DiarizerCapabilities) and _identifying_calls(options, capabilities):
        usd += _item(capabilities, [audio_s], capabilities.usd_per_minute_identify).usd
    return usd


def can_be_free(engines: Engines, options: JobOptions) -> bool:
    """Whether the job could be done, with the engines it may fall back to, by those that cost nothing."""
    transcribers = [engines.transcribers[name] for name in options.engines if name in engines.transcribers]
    diarizers = [engines.diarizers[name] for name in options.diarizers if name in engines.diarizers]
    if options.method == _ONE_SHOT and _is_free(engines.one_shots.get(options.engine)):
        return True
    return any(map(_is_free, transcribers)) and (not diarizers or any(map(_is_free, diarizers)))


def quote_job(engines: Engines, options: JobOptions, recording: Recording, limits: ChunkLimits) -> Quote:
    """The price of a job whose first engines answer everything.

    Raises:
        InvalidOption: an engine of the options is not set up.
    """
    if options.method == _ONE_SHOT:
        engine = _find("engine", engines.one_shots, options.engine)
        return Quote(options, _item(engine, [recording.duration_s], engine.usd_per_minute))
    engine = _find("engine", engines.transcribers, options.engine)
    chunks_s = recording.chunks_s
    if chunks_s is None:
        chunks_s = estimate_chunks(recording.duration_s, limits, engine)
    transcription = _item(engine, chunks_s, engine.usd_per_minute)
    if options.diarizer is None or not chunks_s:
        return Quote(options, transcription)
    diarizer = _find("diarizer", engines.diarizers, options.diarizer)
    identifying = _identifying_calls(options, diarizer)
    calls = [recording.duration_s] * max(1, identifying)
    return Quote(
        options,
        transcription,
        _item(diarizer, calls, diarizer.usd_per_minute),
        _item(diarizer, calls, diarizer.usd_per_minute_identify) if identifying else None,
    )


def quote_alternatives(
    engines: Engines, options: JobOptions, recording: Recording, limits: ChunkLimits, today: date
) -> Iterator[Quote]:
    """The same job with another engine, or another diarizer, each that is offered in turn; none that is retired."""
    standard = replace(options, method="standard") if options.method == _ONE_SHOT else options
    choices = [replace(standard, engine=name) for name in _standing(engines.transcribers, today)]
    choices += [replace(options, method=_ONE_SHOT, engine=name) for name in _standing(engines.one_shots, today)]
    if options.method != _ONE_SHOT:
        choices += [replace(options, diarizer=name) for name in _standing(engines.diarizers, today)]
    for choice in choices:
        if choice != options:
            yield quote_job(engines, choice, recording, limits)


def estimate_chunks(duration_s: float, limits: ChunkLimits, engine: TranscriberCapabilities) -> tuple[float, ...]:
    """The audio of each chunk of a recording without a silence to cut in, the most that one of its length has."""
    max_s = min(limits.max_s, engine.longest_chunk_s or limits.max_s)
    shared_s = max(limits.overlap_s, 2 * PAD_S)
    target_s = min(engine.target_chunk_s or limits.target_s, max_s - shared_s)
    count = math.ceil(duration_s / target_s)
    return ((duration_s + (count - 1) * shared_s) / count,) * count if count else ()


def _item(capabilities: AnyCapabilities, calls_s: Sequence[float], usd_per_minute: float) -> Item[AnyCapabilities]:
    billed_s = sum(max(capabilities.minimum_billed_s, call_s) for call_s in calls_s)
    return Item(capabilities, len(calls_s), billed_s, usd_per_minute)


def _identifying_calls(options: JobOptions, diarizer: DiarizerCapabilities) -> int:
    """How often the whole recording is sent to be searched for known voices; where the vendor knows none of them that
    is done by this installation.
    """
    most, known = diarizer.max_voiceprints, set(options.voiceprints) - set(options.unknown_voiceprints)
    return math.ceil(len(known) / most) if most else 0


def _is_free(capabilities: Capabilities | None) -> bool:
    return capabilities is not None and capabilities.usd_per_minute == 0


def _standing(engines: Mapping[str, AnyCapabilities], today: date) -> list[str]:
    return [name for name, engine in engines.items() if engine.terms is None or not engine.terms.is_retired(today)]


def _find(field: str, engines: Mapping[str, AnyCapabilities], name: str) -> AnyCapabilities:
    if name not in engines:
        raise InvalidOption(
            f"{field} {name} is not set up here; there are: {', '.join(engines) or 'none'}.", field=field
        )
    return engines[name]
