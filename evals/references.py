"""Reads what was really said: words, speakers, turns and times, from the files that lie beside a recording.

| file | holds | written by |
|---|---|---|
| ``NAME.seglst.json`` | utterances: speaker, times, words | meeteval, CHiME |
| ``NAME.stm`` | the same, a line each | NIST sclite |
| ``NAME.rttm`` | turns: speaker and times | NIST md-eval, pyannote |
| ``NAME.words.tsv`` | words: ``start``, ``end``, ``speaker``, ``word`` below a header line | forced alignment |
| ``NAME.txt`` | words only | anybody |
| ``refs.tsv`` | words only, of many recordings: ``NAME``, tab, words | LibriSpeech-like sets |

What says more is preferred. A file that cannot be read is an error that names it, never a missing reference.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from erni.errors import InputError
from erni.model import Span, Turn
from evals.normalising import SpokenWord

SUFFIXES: Final = (".seglst.json", ".stm", ".rttm", ".words.tsv", ".txt")
LIST_NAME: Final = "refs.tsv"
_RTTM_FIELDS: Final = 8
_STM_FIELDS: Final = 5


@dataclass(frozen=True, slots=True)
class Utterance:
    """What one speaker says in one go."""

    span: Span
    speaker: str
    text: str


@dataclass(frozen=True, slots=True)
class Reference:
    """What is known of a recording; ``None`` is not known, empty is known to be nothing.

    ``words`` are in order of time; without ``has_word_times`` theirs are spread evenly over their utterances, or
    missing where only a text is known. ``speech`` is where anybody talks.
    """

    words: tuple[SpokenWord, ...] | None
    turns: tuple[Turn, ...] | None
    speech: tuple[Span, ...] | None
    has_word_times: bool

    @property
    def has_speakers(self) -> bool:
        """Whether words have speakers; true of a recording known to hold no word."""
        return self.words is not None and all(word.speaker is not None for word in self.words)

    @property
    def has_times(self) -> bool:
        return self.words is not None and all(word.span is not None for word in self.words)


def load_reference(recording: Path, top: Path) -> Reference:
    """Read every reference of a recording; lists of references are looked for from its folder up to ``top``.

    Raises:
        InputError: there is none, or one cannot be read; says which file and what to do.
    """
    beside = {suffix: recording.with_name(recording.stem + suffix) for suffix in SUFFIXES}
    files = {suffix: path for suffix, path in beside.items() if path.is_file()}
    listed = _find_listed(recording, top)
    if not files and listed is None:
        raise InputError(
            f"{recording} has no reference. Put {recording.stem}{SUFFIXES[0]}, .stm, .rttm or .txt beside it "
            "(docs/evaluation.md shows their form), or take the recording out of the folder."
        )
    utterances = _load_utterances(files)
    timed = tuple(_load_words(files[".words.tsv"])) if ".words.tsv" in files else None
    text = _read(files[".txt"]) if ".txt" in files else listed
    turns = tuple(_load_turns(files[".rttm"])) if ".rttm" in files else None
    spans = [utterance.span for utterance in utterances or ()] + [turn.span for turn in turns or ()]
    words = _choose_words(timed, utterances, text)
    has_speech = utterances is not None or turns is not None or words == ()
    return Reference(
        words=words,
        turns=turns if turns is not None else _turns_of(utterances),
        speech=tuple(spans) if has_speech else None,
        has_word_times=timed is not None,
    )


def spread_words(utterances: Sequence[Utterance]) -> tuple[SpokenWord, ...]:
    """The utterances' words, each with an even share of its utterance's time, in order of their starts."""
    words: list[SpokenWord] = []
    for utterance in utterances:
        texts = utterance.text.split()
        for number, text in enumerate(texts):
            start_s = utterance.span.start_s + utterance.span.duration_s * number / len(texts)
            end_s = utterance.span.start_s + utterance.span.duration_s * (number + 1) / len(texts)
            words.append(SpokenWord(text, Span(start_s, end_s), utterance.speaker))
    return tuple(sorted(words, key=_start_s))


def _choose_words(
    timed: Sequence[SpokenWord] | None, utterances: Sequence[Utterance] | None, text: str | None
) -> tuple[SpokenWord, ...] | None:
    if timed is not None:
        return tuple(sorted(timed, key=_start_s))
    if utterances is not None:
        return spread_words(utterances)
    return None if text is None else tuple(SpokenWord(word) for word in text.split())


def _turns_of(utterances: Sequence[Utterance] | None) -> tuple[Turn, ...] | None:
    if utterances is None:
        return None
    return tuple(Turn(each.span.start_s, each.span.end_s, each.speaker) for each in utterances)


def _load_utterances(files: dict[str, Path]) -> tuple[Utterance, ...] | None:
    if ".seglst.json" in files:
        return tuple(_load_seglst(files[".seglst.json"]))
    return tuple(_load_stm(files[".stm"])) if ".stm" in files else None


def _load_seglst(path: Path) -> Iterator[Utterance]:
    try:
        rows = json.loads(_read(path))
        for row in rows:
            span = _span(path, row["start_time"], row["end_time"])
            yield Utterance(span, str(row["speaker"]), str(row["words"]))
    except (ValueError, KeyError, TypeError):
        raise InputError(
            f"{path} is not SegLST: a JSON list of objects with speaker, start_time, end_time and words."
        ) from None


def _load_stm(path: Path) -> Iterator[Utterance]:
    for line in _lines(path, comment=";;"):
        fields = line.split(maxsplit=_STM_FIELDS)
        if len(fields) < _STM_FIELDS:
            raise InputError(f"{path} is not STM: `{line}` has no NAME CHANNEL SPEAKER START END WORDS.")
        _, _, speaker, start, end, *rest = fields
        words = rest[0] if rest else ""
        if words.startswith("<"):  # a label such as <o,f0,male>
            words = words.partition(">")[2]
        yield Utterance(_span(path, start, end), speaker, words)


def _load_turns(path: Path) -> Iterator[Turn]:
    for line in _lines(path, comment=";;"):
        fields = line.split()
        if fields[0] != "SPEAKER":
            continue
        if len(fields) < _RTTM_FIELDS:
            raise InputError(f"{path} is not RTTM: `{line}` has no SPEAKER NAME 1 START DURATION <NA> <NA> SPEAKER.")
        span = _span(path, fields[3], fields[4], is_duration=True)
        yield Turn(span.start_s, span.end_s, fields[7])


def _load_words(path: Path) -> Iterator[SpokenWord]:
    rows = csv.DictReader(_lines(path), delimiter="\t", quoting=csv.QUOTE_NONE)
    if not {"start", "end", "word"} <= set(rows.fieldnames or ()):
        raise InputError(f"{path} must begin with a header line: start, end, speaker and word, separated by tabs.")
    for row in rows:
        yield SpokenWord(row["word"] or "", _span(path, row["start"], row["end"]), row.get("speaker"))


def _find_listed(recording: Path, top: Path) -> str | None:
    """The words a list in this folder or one above it, up to ``top``, has for the recording."""
    for folder in (recording.parent, *recording.parent.parents):
        path = folder / LIST_NAME
        if path.is_file():
            for line in _lines(path):
                name, _, words = line.partition("\t")
                if name == recording.stem:
                    return words
        if folder == top:
            break
    return None


def _span(path: Path, start: object, end: object, *, is_duration: bool = False) -> Span:
    try:
        start_s, end_s = float(str(start)), float(str(end))
    except ValueError:
        raise InputError(f"{path}: `{start}` or `{end}` is not a time in seconds.") from None
    if is_duration:
        end_s += start_s
    if not 0 <= start_s <= end_s < float("inf"):
        raise InputError(f"{path}: the time from {start_s:g} to {end_s:g} s cannot be; mend the line.")
    return Span(start_s, end_s)


def _lines(path: Path, comment: str | None = None) -> list[str]:
    lines = [line for line in _read(path).splitlines() if line.strip()]
    return [line for line in lines if comment is None or not line.startswith(comment)]


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError:
        raise InputError(f"{path} is not UTF-8 text. Convert it.") from None
    except OSError as error:
        raise InputError(f"Cannot read {path}: {error.strerror}.") from None


def _start_s(word: SpokenWord) -> float:
    return word.span.start_s if word.span else 0.0
