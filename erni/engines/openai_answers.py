"""Reads what OpenAI's transcription and the servers that speak its protocol answer, with all their deviations.

Pure. The SDK validates nothing of an answer, so everything is checked here: numbers are finite, words lie in the audio.
Source: the shapes of OpenAI's API reference, and of speaches, whisper.cpp, LocalAI and vLLM as documented.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date
from typing import Any, Final, NoReturn

from erni.engines.openai_languages import language_code
from erni.engines.timed_text import HeardWord, spread_text, time_text
from erni.errors import EngineAnswerInvalid
from erni.model import Notice, Span, Word

LATE_S: Final = 1.0
"""How far a time may lie outside of the audio: engines work in windows that are longer than it."""

MAX_WORD_CHARS: Final = 1000


@dataclass(frozen=True, slots=True)
class Asked:
    """What the answer is to: ``name`` begins error messages, ``duration_s`` is the audio's length.

    ``may_be_plain`` where the server may answer text where JSON was asked for.
    """

    name: str
    duration_s: float
    may_be_plain: bool = False


@dataclass(frozen=True, slots=True)
class Answer:
    """What was heard, times from the start of the audio; ``usage`` has the vendor's own numbers by its names, and
    ``places`` is as in a ``Recognition``.
    """

    words: tuple[Word, ...]
    language: str | None
    usage: Mapping[str, float]
    warnings: tuple[Notice, ...] = ()
    places: tuple[Span, ...] = ()


def parse_answer(content: bytes, asked: Asked) -> Answer:
    """Words of any of the shapes: timed words at the top or in segments, timed segments, or text.

    Words without times of their own are spread over their segment, or else the whole audio, as ``estimated``. Speakers
    of ``diarized_json`` are not read: their labels begin anew in every call.

    Raises:
        EngineAnswerInvalid: it is none of them, or its times are not those of this audio.
    """
    document = _read(content, asked)
    heard = list(_words(document, asked))
    placed = [placed for placed in (_within(*pair, asked) for pair in heard) if placed is not None]
    if heard and not placed:
        raise EngineAnswerInvalid(f"{asked.name} answered with times outside of the audio.")
    placed.sort(key=lambda pair: pair[0].start_s)
    words = tuple(word for word, _ in placed)
    _check_texts(words, asked)
    return Answer(
        words,
        _language(document),
        _usage(document.get("usage")),
        tuple(_notices(document, len(heard) - len(placed), asked)),
        _known_places(placed, asked),
    )


def parse_shutdown_dates(content: bytes, name: str) -> dict[str, date | None]:
    """A list of models: each with the day it ends, where one is announced.

    Raises:
        EngineAnswerInvalid: it is no such list.
    """
    document = _read_json(_read_text(content, name), name)
    models = document.get("data") if isinstance(document, dict) else None
    if not isinstance(models, list) or not all(isinstance(model, dict) for model in models):
        raise EngineAnswerInvalid(f"{name}'s list of models cannot be read.")
    return {str(model.get("id")): _date(model.get("shutdown_date")) for model in models}


def _read(content: bytes, asked: Asked) -> Mapping[str, Any]:
    text = _read_text(content, asked.name)
    if asked.may_be_plain and not text.lstrip().startswith(("<", "{", "[", '"')):
        return {"text": text}
    document = _read_json(text, asked.name)
    if isinstance(document, str) and asked.may_be_plain:
        return {"text": document}
    if not isinstance(document, dict) or not isinstance(document.get("text"), str):
        raise EngineAnswerInvalid(f"{asked.name}'s answer has no text.")
    return document


def _read_text(content: bytes, name: str) -> str:
    try:
        return content.decode("utf-8")
    except UnicodeDecodeError as error:
        raise EngineAnswerInvalid(f"{name}'s answer is not UTF-8.") from error


def _read_json(text: str, name: str) -> Any:
    try:
        return json.loads(text, parse_constant=_refuse_constant)
    except (ValueError, RecursionError) as error:
        raise EngineAnswerInvalid(f"{name}'s answer is not JSON.") from error


def _words(document: Mapping[str, Any], asked: Asked) -> Iterator[tuple[Word, Span]]:
    """Each word and between which times the answer says it lies."""
    whole = Span(0.0, asked.duration_s)
    text = str(document["text"])
    heard = [_heard(row, asked) for row in _rows(document, "words", asked)]
    segments = _rows(document, "segments", asked)
    if heard:
        yield from ((word, Span(word.start_s, word.end_s)) for word in time_text(text, heard, whole))
    elif segments:
        for segment in segments:
            yield from _segment_words(segment, asked)
    else:
        yield from ((word, whole) for word in spread_text(text, whole))


def _segment_words(segment: Mapping[str, Any], asked: Asked) -> Iterator[tuple[Word, Span]]:
    text = segment.get("text")
    if not isinstance(text, str):
        raise EngineAnswerInvalid(f"{asked.name} answered with a segment without text.")
    start_s, end_s = _times(segment, asked)
    span = Span(start_s, min(end_s, asked.duration_s) if start_s < asked.duration_s else end_s)
    heard = [_heard(row, asked) for row in _rows(segment, "words", asked)]
    for word in time_text(text, heard, span):
        yield word, Span(word.start_s, word.end_s) if heard else span


def _heard(row: Mapping[str, Any], asked: Asked) -> HeardWord:
    """A word is called ``word``, by LocalAI ``text``."""
    text = row.get("word") or row.get("text")
    if not isinstance(text, str):
        raise EngineAnswerInvalid(f"{asked.name} answered with a word without text.")
    probability = _number(row.get("probability"))
    is_sound = probability is not None and 0 <= probability <= 1
    return HeardWord(text, *_times(row, asked), confidence=probability if is_sound else None)


def _times(row: Mapping[str, Any], asked: Asked) -> tuple[float, float]:
    start_s, end_s = _number(row.get("start")), _number(row.get("end"))
    if start_s is None or end_s is None:
        raise EngineAnswerInvalid(f"{asked.name} answered with a time that is no number.")
    if start_s < -LATE_S or end_s < start_s - LATE_S:
        raise EngineAnswerInvalid(f"{asked.name} answered with times that run backwards.")
    start_s = max(0.0, start_s)
    return start_s, max(start_s, end_s)


def _within(word: Word, place: Span, asked: Asked) -> tuple[Word, Span] | None:
    """The word, ended with the audio; ``None`` where it begins after it: recognisers invent words in padding."""
    if word.start_s >= asked.duration_s + LATE_S:
        return None
    start_s, end_s = (round(min(time_s, asked.duration_s), 3) for time_s in (word.start_s, word.end_s))
    return (
        replace(word, start_s=start_s, end_s=end_s),
        Span(min(place.start_s, asked.duration_s), min(place.end_s, asked.duration_s)),
    )


def _known_places(placed: Sequence[tuple[Word, Span]], asked: Asked) -> tuple[Span, ...]:
    """None where every word has its own times, and none where no place says more than that it is in the audio."""
    places = tuple(place for _, place in placed)
    is_timed = all(word.timing == "exact" for word, _ in placed)
    says_something = any(0 < place.duration_s < asked.duration_s for place in places)
    return places if says_something and not is_timed else ()


def _check_texts(words: Sequence[Word], asked: Asked) -> None:
    """JSON can spell half of a surrogate pair, which no file can hold."""
    for word in words:
        if len(word.text) > MAX_WORD_CHARS or any("\ud800" <= letter <= "\udfff" for letter in word.text):
            raise EngineAnswerInvalid(f"{asked.name} answered with a word that is none.")


def _rows(document: Mapping[str, Any], name: str, asked: Asked) -> Sequence[Mapping[str, Any]]:
    rows = document.get(name) or []
    if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        raise EngineAnswerInvalid(f"{asked.name}'s answer has {name} that are no list of objects.")
    return rows


def _language(document: Mapping[str, Any]) -> str | None:
    """One name or code, or ``gpt-transcribe``'s list of codes, empty where it is not sure."""
    languages = document.get("languages")
    if isinstance(languages, list) and languages:
        first = languages[0]
        return language_code(first.get("code") if isinstance(first, dict) else first)
    return language_code(document.get("language"))


def _usage(usage: object) -> dict[str, float]:
    """All numbers of it, those of ``input_token_details`` among them."""
    if not isinstance(usage, dict):
        return {}
    details = usage.get("input_token_details")
    rows = {**(details if isinstance(details, dict) else {}), **usage}
    numbers = {str(name): _number(value) for name, value in rows.items() if not isinstance(value, str)}
    return {name: number for name, number in numbers.items() if number is not None and number >= 0}


def _notices(document: Mapping[str, Any], outside: int, asked: Asked) -> Iterator[Notice]:
    if outside:
        yield Notice("words_after_the_end", f"{asked.name} heard {outside} words after the end; they are left out.")
    duration_s = _number(document.get("duration"))
    if duration_s is not None and 0 < duration_s < asked.duration_s - LATE_S:
        yield Notice(
            "audio_cut_short",
            f"{asked.name} says it heard {duration_s:.1f} s of the {asked.duration_s:.1f} s it was sent.",
            Span(duration_s, asked.duration_s),
        )


def _number(value: object) -> float | None:
    """A finite number, which vLLM may write as a text; ``None`` for anything else."""
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    try:
        number = float(value)
    except (ValueError, OverflowError):
        return None
    return number if math.isfinite(number) else None


def _date(text: object) -> date | None:
    try:
        return date.fromisoformat(text) if isinstance(text, str) else None
    except ValueError:
        return None


def _refuse_constant(name: str) -> NoReturn:
    """``json`` would take NaN and Infinity, which are no JSON."""
    raise ValueError(name)
