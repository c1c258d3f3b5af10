"""Reads vendors' JSON with distrust: every value is checked for what it is before anything is made of it.

Pure. ``who`` is the vendor's name, with which the messages begin.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from typing import Any, Final

from erni.errors import EngineAnswerInvalid
from erni.model import Turn
from erni.signatures import REMOTE_ID

_MAX_QUOTE_CHARS: Final = 300
_MAX_TEXT_CHARS: Final = 1000

_ADDRESS: Final = re.compile(r"[a-z][a-z0-9+.-]*://\S+", re.IGNORECASE)
_SECRET: Final = re.compile(r"\b(?:r8|sk|whs|whsec)_\S+|\bbearer\s+\S+", re.IGNORECASE)


def read_object(value: object, who: str) -> Mapping[str, Any]:
    """Raises EngineAnswerInvalid: it is no JSON object."""
    if not isinstance(value, dict):
        raise EngineAnswerInvalid(f"{who}'s answer is not the object it should be.")
    return value


def read_rows(content: Mapping[str, Any], name: str, who: str) -> Sequence[Mapping[str, Any]]:
    """A list of objects. Raises EngineAnswerInvalid."""
    rows = content.get(name)
    if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        raise EngineAnswerInvalid(f"{who}'s answer has no list of {name}.")
    return rows


def read_text(content: Mapping[str, Any], name: str, who: str) -> str:
    """A text with something in it, without surrounding white space. Raises EngineAnswerInvalid."""
    text = content.get(name)
    if not isinstance(text, str) or not text.strip() or len(text) > _MAX_TEXT_CHARS or not _is_encodable(text):
        raise EngineAnswerInvalid(f"{who}'s answer has no usable {name}.")
    return text.strip()


def read_number(content: Mapping[str, Any], name: str, who: str) -> float:
    """A finite number. Raises EngineAnswerInvalid."""
    value = content.get(name)
    number = to_number(value)
    if number is None:
        raise EngineAnswerInvalid(f"{who}'s answer has a {name} that is no number.")
    return number


def read_span(content: Mapping[str, Any], who: str) -> tuple[float, float]:
    """``start`` and ``end`` in seconds, in this order. Raises EngineAnswerInvalid."""
    start_s, end_s = read_number(content, "start", who), read_number(content, "end", who)
    if not 0 <= start_s <= end_s:
        raise EngineAnswerInvalid(f"{who}'s answer has times that run backwards.")
    return start_s, end_s


def read_remote_id(content: Mapping[str, Any], name: str, who: str) -> str:
    """The vendor's id of a job, fit for an address. Raises EngineAnswerInvalid."""
    remote_id = content.get(name)
    if not isinstance(remote_id, str) or not REMOTE_ID.fullmatch(remote_id):
        raise EngineAnswerInvalid(f"{who} did not name the job it made.")
    return remote_id


def to_number(value: object) -> float | None:
    """``None`` for what is no finite number; a truth value is none."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    try:
        number = float(value)
    except OverflowError:
        return None
    return number if math.isfinite(number) else None


def sort_turns(turns: Sequence[Turn]) -> tuple[Turn, ...]:
    """By start, without those that take no time."""
    return tuple(sorted((turn for turn in turns if turn.start_s < turn.end_s), key=lambda turn: turn.start_s))


def quote(text: object) -> str:
    """A vendor's own words for our message: one short line, without addresses and whatever looks like a key."""
    if not isinstance(text, str):
        return ""
    line = " ".join(_SECRET.sub("(a key)", _ADDRESS.sub("(an address)", text)).split())
    line = "".join(letter for letter in line if letter.isprintable())
    return line if len(line) <= _MAX_QUOTE_CHARS else f"{line[:_MAX_QUOTE_CHARS]}..."


def _is_encodable(text: str) -> bool:
    """JSON can spell half of a surrogate pair, which no file can hold."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
