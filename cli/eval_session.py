"""One call of ``erni eval`` from its arguments to its table. Joins the rooms beside it."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import click

from cli.demo import SAMPLE
from cli.eval_runs import Evaluated, evaluate
from cli.failures import CommandFailed
from cli.interrupts import Interrupts
from cli.terminal import print_table
from config.settings import Settings
from erni.errors import InputError
from erni.options import ISO_639_1
from evals.generated import generate_recordings
from evals.plots import draw_recording
from evals.recordings import find_recordings
from evals.report import render_json, sum_up, tabulate
from evals.speaker_words import HOW_TO_GET, has_meeteval


@dataclass(frozen=True, slots=True)
class Request:
    """What to measure and where to put it; without ``data``, generated recordings."""

    data: Path | None
    raw: Path | None
    plots: Path | None
    language: str | None
    with_whole: bool


def run_session(request: Request, settings: Settings) -> None:
    """Measure, print the tables, write what was asked for.

    Raises:
        InputError: a recording or its reference cannot be used.
        CommandFailed: some recording could not be transcribed; the others are measured and shown all the same.
    """
    _check_language(request.language)
    with _open_data(request.data) as data, Interrupts() as interrupts:
        recordings = find_recordings(data, request.language)
        evaluated = evaluate(recordings, settings, interrupts, with_whole=request.with_whole, tell=_tell)
        if request.plots is not None:
            _draw(evaluated, request.plots)
    rows = sum_up([one.evaluation for one in evaluated])
    for table in tabulate(rows):
        print_table(table)
    if not has_meeteval():
        click.echo(HOW_TO_GET, err=True)
    if request.raw is not None:
        request.raw.parent.mkdir(parents=True, exist_ok=True)
        request.raw.write_text(json.dumps(render_json(rows), indent=1) + "\n", encoding="utf-8")
    _check_failures(evaluated)


@contextmanager
def _open_data(data: Path | None) -> Iterator[Path]:
    if data is not None:
        yield data
        return
    with tempfile.TemporaryDirectory(prefix="erni-eval-data-") as directory:
        generate_recordings(SAMPLE, Path(directory))
        yield Path(directory)


def _draw(evaluated: Sequence[Evaluated], folder: Path) -> None:
    for one in evaluated:
        if one.hearing is not None:
            file = folder / f"{one.recording.name.replace('/', '_')}.png"
            draw_recording(one.recording.name, one.recording.reference, one.hearing, one.wrong_words, file)


def _tell(progress: str) -> None:
    click.echo(f"  {progress} ...", err=True)


def _check_language(language: str | None) -> None:
    if language is not None and language not in ISO_639_1:
        raise InputError(f"--language {language} is no ISO 639-1 code, such as en or de.")


def _check_failures(evaluated: Sequence[Evaluated]) -> None:
    failures = [f"  {one.recording.name}: {one.evaluation.failure}" for one in evaluated if one.evaluation.failure]
    if failures:
        raise CommandFailed(
            "\n".join([f"{len(failures)} of {len(evaluated)} recordings were not measured:", *failures])
        )
