"""From what a caller typed to checked job options. Pure; knows engines only by what they declare.

An option is honoured or refused, never ignored: what the chosen engines cannot do is an error that says so.
"""

from __future__ import annotations

import difflib
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Literal, TypeVar, cast, get_args

from erni.errors import InvalidOption, LanguageNotSupported
from erni.jobs import CacheUse, GapPolicy, JobOptions
from erni.model import JoinStrategy
from erni.ports import DiarizerCapabilities, TranscriberCapabilities

METHODS: Final[tuple[Literal["standard"], ...]] = ("standard",)
JOIN_STRATEGIES: Final[tuple[JoinStrategy, ...]] = get_args(JoinStrategy)
OPTION_NAMES: Final = (
    "method",
    "engine",
    "diarizer",
    "join",
    "language",
    "prompt",
    "num_speakers",
    "min_speakers",
    "max_speakers",
    "fallback",
    "on_gap",
    "cache",
    "deadline_s",
    "metadata",
)
GAP_POLICIES: Final[tuple[GapPolicy, ...]] = get_args(GapPolicy)
CACHE_USES: Final[tuple[CacheUse, ...]] = get_args(CacheUse)
NO_DIARIZER: Final = "none"
NO_FALLBACK: Final = "none"
ANY_LANGUAGE: Final = "auto"
MAX_PROMPT_CHARS: Final = 1000
MAX_METADATA_PAIRS: Final = 16
MAX_METADATA_KEY_CHARS: Final = 64
MAX_METADATA_VALUE_CHARS: Final = 512

_ISO_639_1_CODES: Final = (
    "aa ab ae af ak am an ar as av ay az ba be bg bi bm bn bo br bs ca ce ch co cr cs cu cv cy da de "
    "dv dz ee el en eo es et eu fa ff fi fj fo fr fy ga gd gl gn gu gv ha he hi ho hr ht hu hy hz ia id "
    "ie ig ii ik io is it iu ja jv ka kg ki kj kk kl km kn ko kr ks ku kv kw ky la lb lg li ln lo lt lu "
    "lv mg mh mi mk ml mn mr ms mt my na nb nd ne ng nl nn no nr nv ny oc oj om or os pa pi pl ps pt qu "
    "rm rn ro ru rw sa sc sd se sg si sk sl sm sn so sq sr ss st su sv sw ta te tg th ti tk tl tn to tr "
    "ts tt tw ty ug uk ur uz ve vi vo wa wo xh yi yo za zh zu"
)
ISO_639_1: Final = frozenset(_ISO_639_1_CODES.split())
"""Two-letter codes of the Library of Congress's ISO 639-1 table."""

_METADATA_FIELD: Final = re.compile(r"metadata\[(?P<key>.*)\]", re.DOTALL)
_LANGUAGE_TAG: Final = re.compile(r"(?P<language>[a-z]{2,3})(?:[-_][a-z0-9]{2,8})*")
_SPEAKER_COUNT: Final = re.compile(r"[1-9][0-9]{0,3}")
_SECONDS: Final = re.compile(r"[0-9]{1,9}(\.[0-9]{1,6})?")

_Name = TypeVar("_Name", bound=str)


@dataclass(frozen=True, slots=True)
class Offers:
    """What this installation can do: its engines' capabilities by name, and which are used by default.

    No job may take longer than ``max_deadline_s``. ``default_fallback`` are engines in the order of their use.
    """

    transcribers: Mapping[str, TranscriberCapabilities]
    diarizers: Mapping[str, DiarizerCapabilities]
    default_engine: str
    default_diarizer: str | None
    max_deadline_s: float
    default_fallback: tuple[str, ...] = ()


def parse_options(fields: Mapping[str, Sequence[str]], offers: Offers) -> JobOptions:
    """Check form or query fields, each with every value it was given, against the offers.

    Metadata is one field ``metadata`` holding a JSON object, or any number of fields ``metadata[key]``.

    Raises:
        InvalidOption: a field is unknown, given twice, malformed, contradicts another or asks for what the
            chosen engines cannot do; ``field`` names it.
        LanguageNotSupported: the chosen model cannot recognise the language.
    """
    values = {name: _single_value(name, given) for name, given in fields.items()}
    engine = _choose("engine", values, tuple(offers.transcribers), offers.default_engine)
    diarizer = _choose("diarizer", values, (*offers.diarizers, NO_DIARIZER), offers.default_diarizer or NO_DIARIZER)
    speaker_counts: dict[str, int] = {
        name: _parse_speaker_count(name, values[name])
        for name in ("num_speakers", "min_speakers", "max_speakers")
        if name in values
    }
    _check_speaker_counts(speaker_counts, offers.diarizers.get(diarizer))
    fallback = _parse_fallback(values["fallback"], engine, offers) if "fallback" in values else ()
    chosen = [offers.transcribers[name] for name in (engine, *fallback)]
    language = _parse_language(values.get("language", ANY_LANGUAGE), offers, chosen)
    prompt = _parse_prompt(values.get("prompt"), chosen)
    return JobOptions(
        method=_choose("method", values, METHODS, "standard"),
        engine=engine,
        diarizer=None if diarizer == NO_DIARIZER else diarizer,
        join=_choose("join", values, JOIN_STRATEGIES, "boundary"),
        language=language,
        prompt=prompt,
        num_speakers=speaker_counts.get("num_speakers"),
        min_speakers=speaker_counts.get("min_speakers"),
        max_speakers=speaker_counts.get("max_speakers"),
        fallback=fallback if "fallback" in values else _default_fallback(offers, engine, language, prompt),
        on_gap=_choose("on_gap", values, GAP_POLICIES, "partial"),
        cache=_choose("cache", values, CACHE_USES, "use"),
        deadline_s=_parse_deadline(values.get("deadline_s"), offers.max_deadline_s),
        metadata=_parse_metadata(values),
    )


def _single_value(name: str, given: Sequence[str]) -> str:
    if name not in OPTION_NAMES and not _METADATA_FIELD.fullmatch(name):
        raise _unknown_option(name)
    if len(given) != 1:
        raise InvalidOption(f"{name} is given {len(given)} times; give it once.", field=name)
    value = given[0].strip()
    if not value and name in OPTION_NAMES:
        raise InvalidOption(f"{name} is empty; give it a value or leave it out.", field=name)
    _check_characters(name, value)
    return value


def _unknown_option(name: str) -> InvalidOption:
    close = difflib.get_close_matches(name, OPTION_NAMES, n=1)
    guess = f" Did you mean {close[0]}?" if close else ""
    shown = name if name.isprintable() and len(name) <= MAX_METADATA_KEY_CHARS else "this name"
    return InvalidOption(
        f"There is no option {shown}.{guess} The options are: {', '.join(OPTION_NAMES)}.",
        field=name[:MAX_METADATA_KEY_CHARS],
    )


def _check_characters(field: str, text: str) -> None:
    """Refuse what the records cannot hold: NUL (PostgreSQL) and halves of surrogate pairs (not UTF-8)."""
    if "\0" in text or any("\ud800" <= character <= "\udfff" for character in text):
        raise InvalidOption(f"{field} holds characters that are not text.", field=field)


def _choose(name: str, values: Mapping[str, str], choices: Sequence[_Name], default: _Name) -> _Name:
    value = values.get(name, default)
    if value not in choices:
        raise InvalidOption(f"{name} must be one of: {', '.join(choices)}.", field=name)
    return cast("_Name", value)


def _parse_fallback(text: str, engine: str, offers: Offers) -> tuple[str, ...]:
    """Engines by name, separated by commas, in the order of their use; ``none`` for none."""
    if text == NO_FALLBACK:
        return ()
    names = tuple(name.strip() for name in text.split(","))
    if not set(names) <= set(offers.transcribers):
        raise InvalidOption(
            f"fallback must be {NO_FALLBACK}, or some of these, separated by commas: {', '.join(offers.transcribers)}.",
            field="fallback",
        )
    if engine in names:
        raise InvalidOption(
            f"fallback names {engine}, which is the engine itself; leave it out of one of them.", field="fallback"
        )
    if len(set(names)) != len(names):
        raise InvalidOption("fallback names an engine twice.", field="fallback")
    return names


def _default_fallback(offers: Offers, engine: str, language: str | None, prompt: str | None) -> tuple[str, ...]:
    """Those of the installation's own that do what is asked: nobody asked for the others."""
    return tuple(
        name
        for name in offers.default_fallback
        if name != engine
        and _knows_language(language, offers.transcribers[name])
        and (prompt is None or offers.transcribers[name].has_prompt)
    )


def _parse_language(text: str, offers: Offers, chosen: Sequence[TranscriberCapabilities]) -> str | None:
    """A region is accepted and dropped, as no engine tells ``pt-BR`` from ``pt``."""
    if text.lower() == ANY_LANGUAGE:
        return None
    match = _LANGUAGE_TAG.fullmatch(text.lower())
    language = match["language"] if match else ""
    known = ISO_639_1.union(*(offer.languages or () for offer in offers.transcribers.values()))
    if language not in known:
        raise InvalidOption(
            "language must be an ISO 639-1 code such as en, de or pt-BR, or auto to have it found out.",
            field="language",
        )
    for model in chosen:
        check_language(language, model)
    return language


def _knows_language(language: str | None, model: TranscriberCapabilities) -> bool:
    return language is None or model.languages is None or language in model.languages


def check_language(language: str | None, model: TranscriberCapabilities) -> None:
    """Raises LanguageNotSupported when the model cannot do ``language``: better no text than nonsense."""
    if _knows_language(language, model):
        return
    raise LanguageNotSupported(
        f"Model {model.model} of engine {model.engine} cannot recognise {language}. It knows: "
        f"{', '.join(sorted(model.languages or ()))}. Choose one of these, or have the operator set "
        f"ERNI_{model.engine.upper()}__MODEL to a model that knows {language}.",
        field="language",
    )


def _parse_prompt(text: str | None, chosen: Sequence[TranscriberCapabilities]) -> str | None:
    if text is None:
        return None
    for model in chosen:
        if not model.has_prompt:
            raise InvalidOption(f"Engine {model.engine} takes no prompt; leave one of them out.", field="prompt")
    if len(text) > MAX_PROMPT_CHARS:
        raise InvalidOption(
            f"prompt has {len(text)} characters; at most {MAX_PROMPT_CHARS} are allowed.", field="prompt"
        )
    return text


def _parse_deadline(text: str | None, max_s: float) -> float | None:
    if text is None:
        return None
    deadline_s = float(text) if _SECONDS.fullmatch(text) else 0.0
    if not 0 < deadline_s <= max_s:
        raise InvalidOption(f"deadline_s must be a number of seconds above 0, at most {max_s:g}.", field="deadline_s")
    return deadline_s


def _parse_speaker_count(name: str, text: str) -> int:
    if not _SPEAKER_COUNT.fullmatch(text):
        raise InvalidOption(f"{name} must be a whole number from 1.", field=name)
    return int(text)


def _check_speaker_counts(counts: Mapping[str, int], diarizer: DiarizerCapabilities | None) -> None:
    least, most = counts.get("min_speakers", 1), counts.get("max_speakers")
    exact = counts.get("num_speakers")
    if most is not None and least > most:
        raise InvalidOption("min_speakers is above max_speakers.", field="min_speakers")
    if exact is not None and (exact < least or (most is not None and exact > most)):
        raise InvalidOption("num_speakers lies outside min_speakers and max_speakers.", field="num_speakers")
    for name, count in counts.items():
        _check_diarizer_counts(name, count, diarizer)


def _check_diarizer_counts(name: str, count: int, diarizer: DiarizerCapabilities | None) -> None:
    if diarizer is None:
        raise InvalidOption(f"{name} needs a diarizer, but none is chosen; leave one of them out.", field=name)
    if not diarizer.has_speaker_count:
        raise InvalidOption(
            f"Diarizer {diarizer.engine} finds the number of speakers by itself and cannot be told; leave {name} out.",
            field=name,
        )
    if diarizer.max_speakers is not None and count > diarizer.max_speakers:
        raise InvalidOption(
            f"Diarizer {diarizer.engine} tells at most {diarizer.max_speakers} speakers apart; lower {name}.",
            field=name,
        )


def _parse_metadata(values: Mapping[str, str]) -> dict[str, str]:
    pairs = [(match["key"], value) for name, value in values.items() if (match := _METADATA_FIELD.fullmatch(name))]
    if "metadata" in values:
        if pairs:
            raise InvalidOption(
                "Send metadata as one JSON object or as metadata[key] fields, not both.", field="metadata"
            )
        pairs = _load_pairs(values["metadata"])
    if len(pairs) > MAX_METADATA_PAIRS:
        raise InvalidOption(
            f"metadata has {len(pairs)} entries; at most {MAX_METADATA_PAIRS} are allowed.", field="metadata"
        )
    for key, value in pairs:
        _check_pair(key, value)
    return dict(pairs)


def _load_pairs(text: str) -> list[tuple[str, str]]:
    """Pairs of a flat JSON object of strings; a repeated key is refused rather than overwritten."""
    try:
        loaded = json.loads(text, object_pairs_hook=_JsonPairs)
    except (ValueError, RecursionError):  # deep nesting exhausts the parser's stack
        loaded = None
    if not isinstance(loaded, _JsonPairs) or not all(isinstance(value, str) for _, value in loaded):
        raise InvalidOption(
            'metadata must be a JSON object of strings, such as {"meeting": "standup"}.', field="metadata"
        )
    if len({key for key, _ in loaded}) != len(loaded):
        raise InvalidOption("metadata names a key twice.", field="metadata")
    return list(loaded)


class _JsonPairs(list[tuple[str, str]]):
    """A JSON object as its pairs, told from a JSON array by its type."""


def _check_pair(key: str, value: str) -> None:
    if not 1 <= len(key) <= MAX_METADATA_KEY_CHARS:
        raise InvalidOption(f"A metadata key must have 1 to {MAX_METADATA_KEY_CHARS} characters.", field="metadata")
    if len(value) > MAX_METADATA_VALUE_CHARS:
        raise InvalidOption(
            f"A metadata value may have at most {MAX_METADATA_VALUE_CHARS} characters.", field="metadata"
        )
    _check_characters("metadata", key + value)
