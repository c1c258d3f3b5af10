"""Measurements as tables for people and as JSON for programs. Computes nothing that is not in them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict
from typing import Any, Final

from rich.table import Table

from erni.jobs import JobStatus
from erni.options import JOIN_STRATEGIES
from evals.borders import BorderJoin
from evals.evaluations import Evaluation, pool_evaluations, pool_folders
from evals.measuring import Measurement
from evals.seams import SeamErrors
from evals.speaker_metrics import DiarizationErrors
from evals.word_metrics import WordErrors

SCHEMA: Final = "erni.eval/1"
_NOTHING: Final = ""


def sum_up(evaluations: Sequence[Evaluation]) -> list[Evaluation]:
    """The recordings' rows, then one for each of several folders, then one for all."""
    return [*evaluations, *pool_folders(evaluations), pool_evaluations("all", evaluations)]


def tabulate(rows: Sequence[Evaluation]) -> list[Table]:
    """Words, speakers, and, where recordings were heard in one piece as well, the price of chunking."""
    heard = [row for row in rows if row.failure is None]
    tables = [
        _table("Words", _WORD_COLUMNS, heard),
        _table("Speakers (errors of border words by join)", _SPEAKER_COLUMNS, heard),
    ]
    if any(row.whole for row in heard):
        tables.append(_table("In chunks, and in one piece", _CHUNK_COLUMNS, heard))
    return tables


def render_json(rows: Sequence[Evaluation]) -> dict[str, Any]:
    """Raw counts and the rates made from them; recordings first, then sums. A metric not measured is null."""
    return {"schema": SCHEMA, "rows": [_render_row(row) for row in rows]}


def _render_row(row: Evaluation) -> dict[str, Any]:
    return {
        "name": row.name,
        "status": row.status or None,
        "failure": row.failure,
        "measured": _render_measurement(row.measured),
        "border_errors": {join: {**asdict(errors), "rate": errors.rate} for join, errors in row.joins.items()},
        "in_chunks": _render_measurement(row.in_chunks) if row.in_chunks else None,
        "in_one_piece": _render_measurement(row.whole) if row.whole else None,
        "word_penalty": row.word_penalty,
        "confusion_penalty": row.confusion_penalty,
    }


def _render_measurement(measured: Measurement) -> dict[str, Any]:
    raw = asdict(measured)
    for name in ("words", "speaker_words", "timed_speaker_words", "turns", "turns_with_collar"):
        if raw[name] is not None:
            raw[name]["rate"] = getattr(measured, name).rate
    if measured.speed is not None:
        raw["speed"]["real_time_factor"] = measured.speed.real_time_factor
    if measured.word_times is not None:
        raw["word_times"] |= {
            "median_s": measured.word_times.median_s,
            "percentile_95_s": measured.word_times.percentile_95_s,
        }
    return raw


_Column = tuple[str, Callable[[Evaluation], str]]


def _table(title: str, columns: Sequence[_Column], rows: Sequence[Evaluation]) -> Table:
    table = Table(title=title, title_justify="left")
    table.add_column("recording", overflow="fold")
    for heading, _ in columns:
        table.add_column(heading, justify="right")
    for number, row in enumerate(rows):
        name = f"{row.name} (partial)" if row.status == JobStatus.PARTIAL else row.name
        is_last_recording = row.status != "" and rows[number + 1].status == ""
        table.add_row(name, *(render(row) for _, render in columns), end_section=is_last_recording)
    return table


def _percent(rate: float | None) -> str:
    return _NOTHING if rate is None else f"{rate:.1%}"


def _points(difference: float | None) -> str:
    """Percentage points, with sign."""
    return _NOTHING if difference is None else f"{100 * difference:+.2f}"


def _milliseconds(time_s: float | None) -> str:
    return _NOTHING if time_s is None else f"{1000 * time_s:.0f}"


def _word_rate(errors: WordErrors | None) -> str:
    return _percent(errors.rate) if errors else _NOTHING


def _word_kinds(errors: WordErrors | None) -> str:
    return f"{errors.substituted} {errors.deleted} {errors.inserted}" if errors else _NOTHING


def _turn_rate(errors: DiarizationErrors | None) -> str:
    return _percent(errors.rate) if errors else _NOTHING


def _turn_kinds(errors: DiarizationErrors | None) -> str:
    if errors is None or not errors.speech_s:
        return _NOTHING
    parts = (errors.missed_s, errors.false_alarm_s, errors.confusion_s)
    return " ".join(f"{100 * part / errors.speech_s:.1f}" for part in parts)


def _seams(errors: SeamErrors | None) -> str:
    return f"{errors.duplicates} {errors.losses}" if errors else _NOTHING


def _of(render: Callable[[Measurement], str], part: Measurement | None) -> str:
    return render(part) if part is not None else _NOTHING


def _border_words(row: Evaluation) -> str:
    return next((str(errors.words) for errors in row.joins.values()), _NOTHING)


def _border_column(join: BorderJoin) -> _Column:
    return join, lambda row: str(row.joins[join].errors) if join in row.joins else _NOTHING


def _measured(heading: str, render: Callable[[Measurement], str]) -> _Column:
    return heading, lambda row: render(row.measured)


_WORD_COLUMNS: Final[Sequence[_Column]] = (
    _measured("audio s", lambda it: f"{it.speed.audio_s:.0f}" if it.speed else _NOTHING),
    _measured("words", lambda it: str(it.words.expected) if it.words else _NOTHING),
    _measured("WER", lambda it: _word_rate(it.words)),
    _measured("sub del ins", lambda it: _word_kinds(it.words)),
    _measured("cpWER", lambda it: _word_rate(it.speaker_words)),
    _measured("tcpWER", lambda it: _word_rate(it.timed_speaker_words)),
    _measured("invented", lambda it: str(it.invented.words) if it.invented else _NOTHING),
    _measured("time ms: median", lambda it: _milliseconds(it.word_times.median_s if it.word_times else None)),
    _measured("95th", lambda it: _milliseconds(it.word_times.percentile_95_s if it.word_times else None)),
    _measured("× real time", lambda it: f"{it.speed.real_time_factor or 0:.3f}" if it.speed else _NOTHING),
)

_SPEAKER_COLUMNS: Final[Sequence[_Column]] = (
    _measured("speakers", lambda it: f"{it.speakers.found}/{it.speakers.expected}" if it.speakers else _NOTHING),
    _measured("off by", lambda it: str(it.speakers.wrong_by) if it.speakers else _NOTHING),
    _measured("DER", lambda it: _turn_rate(it.turns)),
    _measured("miss false conf", lambda it: _turn_kinds(it.turns)),
    _measured("DER 0.25 s", lambda it: _turn_rate(it.turns_with_collar)),
    _measured("miss false conf", lambda it: _turn_kinds(it.turns_with_collar)),
    ("border words", _border_words),
    _border_column("plain"),
    *(_border_column(join) for join in JOIN_STRATEGIES),
)

_CHUNK_COLUMNS: Final[Sequence[_Column]] = (
    ("WER", lambda row: _of(lambda it: _word_rate(it.words), row.in_chunks)),
    ("in one piece", lambda row: _of(lambda it: _word_rate(it.words), row.whole)),
    ("points added", lambda row: _points(row.word_penalty)),
    ("DER", lambda row: _of(lambda it: _turn_rate(it.turns), row.in_chunks)),
    ("in one piece", lambda row: _of(lambda it: _turn_rate(it.turns), row.whole)),
    ("confusion added", lambda row: _points(row.confusion_penalty)),
    ("seams", lambda row: _of(lambda it: str(it.seams.seams) if it.seams else _NOTHING, row.in_chunks)),
    ("twice lost", lambda row: _of(lambda it: _seams(it.seams), row.in_chunks)),
    ("in one piece", lambda row: _of(lambda it: _seams(it.seams), row.whole)),
)
