"""From what a caller typed to checked job options. Pure; knows engines only by what they declare.

An option is honoured or refused, never ignored: what the chosen engines cannot do is an error that says so.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final, TypeVar, cast, get_args

from erni.capabilities import DiarizerCapabilities, TranscriberCapabilities
from erni.completions import check_completion
from erni.errors import InvalidOption, LanguageNotSupported
from erni.jobs import CacheUse, Completion, GapPolicy, JobOptions, Method
from erni.metadata import MAX_METADATA_KEY_CHARS, METADATA_FIELD, check_characters, parse_metadata
from erni.model import JoinStrategy
from erni.offers import Offers
from erni.speaker_counts import check_diarizer, check_one_shot, parse_speaker_counts

METHODS: Final[tuple[Method, ...]] = get_args(Method)
COMPLETIONS: Final[tuple[Completion, ...]] = get_args(Completion)
JOIN_STRATEGIES: Final[tuple[JoinStrategy, ...]] = get_args(JoinStrategy)
OPTION_NAMES: Final = (
    "method",
    "engine",
    "diarizer",
    "join",
    "language",
    "prompt",
    "keywords",
    "num_speakers",
    "min_speakers",
    "max_speakers",
    "voiceprints",
    "fallback",
    "diarizer_fallback",
    "completion",
    "on_gap",
    "cache",
    "deadline_s",
    "max_usd",
    "metadata",
)
GAP_POLICIES: Final[tuple[GapPolicy, ...]] = get_args(GapPolicy)
CACHE_USES: Final[tuple[CacheUse, ...]] = get_args(CacheUse)
NO_DIARIZER: Final = "none"
NO_FALLBACK: Final = "none"
ANY_LANGUAGE: Final = "auto"
ALL_VOICEPRINTS: Final = "all"
MAX_PROMPT_CHARS: Final = 1000
MAX_KEYWORDS: Final = 100
MAX_KEYWORD_CHARS: Final = 100
MAX_VOICEPRINTS: Final = 1000

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

_LANGUAGE_TAG: Final = re.compile(r"(?P<language>[a-z]{2,3})(?:[-_][a-z0-9]{2,8})*")
_VOICEPRINT_ID: Final = re.compile(r"[0-9a-f]{32}")
_SECONDS: Final = re.compile(r"[0-9]{1,9}(\.[0-9]{1,6})?")

_Name = TypeVar("_Name", bound=str)


def parse_options(fields: Mapping[str, Sequence[str]], offers: Offers) -> JobOptions:
    """Check form or query fields, each with every value it was given, against the offers.

    Metadata is one field ``metadata`` holding a JSON object, or any number of fields ``metadata[key]``.

    Raises:
        InvalidOption: a field is unknown, given twice, malformed, contradicts another or asks for what the
            chosen engines cannot do; ``field`` names it.
        LanguageNotSupported: the chosen model cannot recognise the language.
    """
    values = {name: _single_value(name, given) for name, given in fields.items()}
    method = _choose("method", values, METHODS, "standard")
    engine = _choose_engine(values, method, offers)
    diarizer = _choose_diarizer(values, method, offers)
    wanted, fallback = _parse_wishes(values, engine, offers)
    counts, told = parse_speaker_counts(values), offers.diarizers.get(diarizer)
    _check_counts(counts, offers.one_shots[engine] if method == "replicate" else None, told, has_next=bool(fallback))
    options = JobOptions(
        method=method,
        engine=engine,
        diarizer=None if diarizer == NO_DIARIZER else diarizer,
        join=_choose("join", values, JOIN_STRATEGIES, "boundary"),
        language=wanted.language,
        prompt=wanted.prompt,
        keywords=wanted.keywords,
        num_speakers=counts.get("num_speakers"),
        min_speakers=counts.get("min_speakers"),
        max_speakers=counts.get("max_speakers"),
        fallback=fallback,
        diarizer_fallback=_parse_diarizer_fallback(values, diarizer, offers),
        completion=_choose("completion", values, COMPLETIONS, "auto"),
        max_usd=_parse_dollars(values.get("max_usd")),
        voiceprints=_parse_voiceprints(values.get("voiceprints"), method, diarizer),
        on_gap=_choose("on_gap", values, GAP_POLICIES, "partial"),
        cache=_choose("cache", values, CACHE_USES, "use"),
        deadline_s=_parse_deadline(values.get("deadline_s"), offers.max_deadline_s),
        metadata=parse_metadata(values),
    )
    return check_completion(options, offers.diarizers, offers.callers)


def _check_counts(
    counts: Mapping[str, int],
    one_shot: TranscriberCapabilities | None,
    told: DiarizerCapabilities | None,
    *,
    has_next: bool,
) -> None:
    if one_shot is not None:
        check_one_shot(counts, one_shot, told if has_next else None)
    else:
        check_diarizer(counts, told)


def _single_value(name: str, given: Sequence[str]) -> str:
    if name not in OPTION_NAMES and not METADATA_FIELD.fullmatch(name):
        raise _unknown_option(name)
    if len(given) != 1:
        raise InvalidOption(f"{name} is given {len(given)} times; give it once.", field=name)
    value = given[0].strip()
    if not value and name in OPTION_NAMES:
        raise InvalidOption(f"{name} is empty; give it a value or leave it out.", field=name)
    check_characters(name, value)
    return value


def _unknown_option(name: str) -> InvalidOption:
    close = difflib.get_close_matches(name, OPTION_NAMES, n=1)
    guess = f" Did you mean {close[0]}?" if close else ""
    shown = name if name.isprintable() and len(name) <= MAX_METADATA_KEY_CHARS else "this name"
    return InvalidOption(
        f"There is no option {shown}.{guess} The options are: {', '.join(OPTION_NAMES)}.",
        field=name[:MAX_METADATA_KEY_CHARS],
    )


def _choose(name: str, values: Mapping[str, str], choices: Sequence[_Name], default: _Name) -> _Name:
    value = values.get(name, default)
    if value not in choices:
        raise InvalidOption(f"{name} must be one of: {', '.join(choices)}.", field=name)
    return cast("_Name", value)


def _choose_engine(values: Mapping[str, str], method: Method, offers: Offers) -> str:
    """The engine the job begins with: of those that do it all in one go, where the method says so."""
    if method != "replicate":
        return _choose("engine", values, tuple(offers.transcribers), offers.default_engine)
    if not offers.one_shots:
        if offers.ended_one_shots:
            raise InvalidOption(f"Method replicate is offered no more: {_tell_ends(offers)}.", field="method")
        raise InvalidOption(
            "Method replicate is not set up here; the operator has to set ERNI_REPLICATE__API_TOKEN.", field="method"
        )
    return _choose("engine", values, tuple(offers.one_shots), next(iter(offers.one_shots)))


def _choose_diarizer(values: Mapping[str, str], method: Method, offers: Offers) -> str:
    if method == "replicate" and values.get("diarizer") == NO_DIARIZER:
        raise InvalidOption(
            "Method replicate finds the speakers itself. Leave diarizer out, or name the one for its fallback.",
            field="diarizer",
        )
    return _choose("diarizer", values, (*offers.diarizers, NO_DIARIZER), offers.default_diarizer or NO_DIARIZER)


def _tell_ends(offers: Offers) -> str:
    return ", ".join(f"{engine} was shut down by its vendor on {end}" for engine, end in offers.ended_one_shots.items())


def _parse_list(
    name: str, values: Mapping[str, str], first: str | None, offered: Mapping[str, object]
) -> tuple[str, ...]:
    """Engines by name, separated by commas, in the order of their use; ``none`` for none."""
    if values[name] == NO_FALLBACK:
        return ()
    names = tuple(part.strip() for part in values[name].split(","))
    if not set(names) <= set(offered):
        raise InvalidOption(
            f"{name} must be {NO_FALLBACK}, or some of these, separated by commas: {', '.join(offered)}.", field=name
        )
    if first in names:
        raise InvalidOption(
            f"{name} names {first}, which is the engine itself; leave it out of one of them.", field=name
        )
    if len(set(names)) != len(names):
        raise InvalidOption(f"{name} names an engine twice.", field=name)
    return names


@dataclass(frozen=True, slots=True)
class _Wanted:
    """What not every engine can do."""

    language: str | None
    prompt: str | None
    keywords: tuple[str, ...]

    def suits(self, model: TranscriberCapabilities) -> bool:
        return (
            _knows_language(self.language, model)
            and (self.prompt is None or model.has_prompt)
            and (not self.keywords or model.has_keywords)
        )


def _parse_wishes(values: Mapping[str, str], engine: str, offers: Offers) -> tuple[_Wanted, tuple[str, ...]]:
    """What the engines must be able to do, and those that take over; each that the caller names must be able to."""
    fallback = _parse_list("fallback", values, engine, offers.transcribers) if "fallback" in values else None
    known = {**offers.transcribers, **offers.one_shots}
    chosen = [known[name] for name in (engine, *(fallback or ()))]
    wanted = _Wanted(
        _parse_language(values.get("language", ANY_LANGUAGE), offers, chosen),
        _parse_prompt(values.get("prompt"), chosen),
        _parse_keywords(values.get("keywords"), chosen),
    )
    return wanted, _default_fallback(offers, engine, wanted) if fallback is None else fallback


def _default_fallback(offers: Offers, engine: str, wanted: _Wanted) -> tuple[str, ...]:
    """Those of the installation's own that do what is asked: nobody asked for the others."""
    return tuple(name for name in offers.default_fallback if name != engine and wanted.suits(offers.transcribers[name]))


def _parse_diarizer_fallback(values: Mapping[str, str], diarizer: str, offers: Offers) -> tuple[str, ...]:
    if "diarizer_fallback" not in values:
        return tuple(name for name in offers.default_diarizer_fallback if diarizer not in {name, NO_DIARIZER})
    names = _parse_list("diarizer_fallback", values, diarizer, offers.diarizers)
    if names and diarizer == NO_DIARIZER:
        raise InvalidOption("diarizer is none, so there is nothing to fall back from.", field="diarizer_fallback")
    return names


def _parse_keywords(text: str | None, chosen: Sequence[TranscriberCapabilities]) -> tuple[str, ...]:
    """Words the recording is likely to hold, separated by commas."""
    if text is None:
        return ()
    for model in chosen:
        if not model.has_keywords:
            raise InvalidOption(
                f"Engine {model.engine} takes no keywords; leave one of them out, or use prompt.", field="keywords"
            )
    words = tuple(dict.fromkeys(word.strip() for word in text.split(",") if word.strip()))
    if len(words) > MAX_KEYWORDS or any(len(word) > MAX_KEYWORD_CHARS for word in words):
        raise InvalidOption(
            f"keywords may be {MAX_KEYWORDS} at most, of {MAX_KEYWORD_CHARS} characters at most.", field="keywords"
        )
    if any(set(word) & set("<>\r\n") for word in words):
        raise InvalidOption("keywords must not hold < or >, nor line breaks.", field="keywords")
    return words


def _parse_dollars(text: str | None) -> float | None:
    if text is None:
        return None
    if not _SECONDS.fullmatch(text) or not float(text):
        raise InvalidOption("max_usd must be a number of dollars above 0, such as 0.25.", field="max_usd")
    return float(text)


def _parse_voiceprints(text: str | None, method: Method, diarizer: str) -> tuple[str, ...]:
    """Ids separated by commas, or ``all``, which whoever accepts the job replaces by those there are."""
    if method != "voiceprint":
        if text is not None:
            raise InvalidOption("voiceprints go with method voiceprint.", field="voiceprints")
        return ()
    if diarizer == NO_DIARIZER:
        raise InvalidOption("Method voiceprint names speakers, so it needs a diarizer.", field="diarizer")
    ids = tuple(dict.fromkeys(part.strip() for part in (text or ALL_VOICEPRINTS).split(",")))
    if len(ids) > MAX_VOICEPRINTS or (ids != (ALL_VOICEPRINTS,) and not all(map(_VOICEPRINT_ID.fullmatch, ids))):
        raise InvalidOption(
            f"voiceprints must be {ALL_VOICEPRINTS}, or at most {MAX_VOICEPRINTS} of their ids separated by commas.",
            field="voiceprints",
        )
    return ids


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
