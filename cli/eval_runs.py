"""Runs the recordings through stacks of their own, by REST, and measures what comes out.

Two passes: cut into chunks as this installation is set, and each recording in one piece, which also diarizes it as a
whole. The difference is the price of chunking.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from cli.client import ErniClient, JobJson
from cli.demo import SAMPLE, demo_settings
from cli.embedded import open_embedded_stack
from cli.failures import RequestFailed
from cli.interrupts import Interrupts
from config.bootstrap import build_blobs
from config.settings import Settings
from erni import blob_paths
from erni.codec import load_diarization
from erni.errors import BlobNotFound
from erni.jobs import CacheUse, JobStatus
from erni.model import JoinStrategy, Turn
from erni.options import JOIN_STRATEGIES
from erni.ports import BlobStore
from evals.evaluations import Evaluation
from evals.hearing import Hearing, parse_hearing
from evals.measuring import measure, measure_joins
from evals.normalising import SpokenWord
from evals.recordings import Recording

DEFAULT_JOIN: Final[JoinStrategy] = "boundary"
WHOLE_S: Final = 24 * 3600.0
_WITH_TRANSCRIPT: Final = (JobStatus.SUCCEEDED, JobStatus.PARTIAL)


@dataclass(frozen=True, slots=True)
class Evaluated:
    """A recording's row, and for its picture the hearing and the border words with a wrong speaker."""

    recording: Recording
    evaluation: Evaluation
    hearing: Hearing | None = None
    wrong_words: tuple[SpokenWord, ...] = ()


@dataclass(frozen=True, slots=True)
class NotHeard:
    """A recording's job was refused or brought no transcript."""

    reason: str


class Listener:
    """Submits recordings to one running stack and waits for them."""

    def __init__(self, client: ErniClient, blobs: BlobStore, tend: Callable[[JobJson], None]) -> None:
        """``tend`` is called while waiting."""
        self._client = client
        self._blobs = blobs
        self._tend = tend

    def warm_up(self) -> None:
        """Have the workers load their models, so that the first recording's time is not theirs."""
        self._client.wait(self._client.submit(SAMPLE, {"cache": "bypass"})["id"], self._tend)

    def hear(self, recording: Recording, join: JoinStrategy, cache: CacheUse) -> Hearing | NotHeard:
        options = {"join": join, "cache": cache, "language": recording.language or "auto"}
        try:
            job = self._client.wait(self._client.submit(recording.path, options)["id"], self._tend)
        except RequestFailed as error:
            if error.status is None:
                raise
            return NotHeard(error.message)
        if job["status"] not in _WITH_TRANSCRIPT:
            return NotHeard(f"{job['status']}: {(job['error'] or {}).get('message', 'no reason given')}")
        transcript = json.loads(self._client.transcript(job["id"], "json"))
        return parse_hearing(job, transcript, self._load_turns(job))

    def _load_turns(self, job: JobJson) -> tuple[Turn, ...] | None:
        """The diarizer's own, before words were joined to them; none where nobody was heard."""
        if job["options"]["diarizer"] is None:
            return None
        try:
            return load_diarization(self._blobs.get_bytes(blob_paths.turns(job["id"]))).turns
        except BlobNotFound:
            return ()


def evaluate(
    recordings: Sequence[Recording],
    settings: Settings,
    interrupts: Interrupts,
    *,
    with_whole: bool,
    tell: Callable[[str], None],
) -> list[Evaluated]:
    """Measure every recording; one whose job fails becomes a row that says so. ``tell`` hears the progress.

    Raises:
        ConfigError, StackFailed: a stack does not start.
        RequestFailed: the stack cannot be reached.
    """
    heard: dict[str, dict[JoinStrategy, Hearing] | NotHeard] = {}
    wholes: dict[str, Hearing | NotHeard] = {}
    with _open_listener(settings, interrupts) as listener:
        for recording in recordings:
            tell(recording.name)
            heard[recording.name] = _hear_joins(listener, recording)
    again = [recording for recording in recordings if not isinstance(heard[recording.name], NotHeard)]
    if with_whole and again:
        with _open_listener(_unchunked(settings), interrupts) as listener:
            for recording in again:
                tell(f"{recording.name}, in one piece")
                wholes[recording.name] = listener.hear(recording, DEFAULT_JOIN, "bypass")
    return [_measure(recording, heard[recording.name], wholes.get(recording.name)) for recording in recordings]


def _hear_joins(listener: Listener, recording: Recording) -> dict[JoinStrategy, Hearing] | NotHeard:
    """Every join of the same words and turns; only the first one works for them."""
    first = listener.hear(recording, DEFAULT_JOIN, "refresh")
    if isinstance(first, NotHeard):
        return first
    by_join = {DEFAULT_JOIN: first}
    for join in JOIN_STRATEGIES:
        if join != DEFAULT_JOIN:
            hearing = listener.hear(recording, join, "use")
            if isinstance(hearing, NotHeard):
                return hearing
            by_join[join] = hearing
    return by_join


def _measure(
    recording: Recording, heard: dict[JoinStrategy, Hearing] | NotHeard, whole: Hearing | NotHeard | None
) -> Evaluated:
    if isinstance(heard, NotHeard):
        return Evaluated(recording, Evaluation(recording.name, recording.folder, failure=heard.reason))
    first = heard[DEFAULT_JOIN]
    measured = measure(recording.reference, first, first.seams_s)
    joins = measure_joins(recording.reference, heard)
    measured_whole = measure(recording.reference, whole, first.seams_s) if isinstance(whole, Hearing) else None
    evaluation = Evaluation(
        name=recording.name,
        folder=recording.folder,
        status=first.status,
        measured=measured,
        joins={join: errors for join, (errors, _) in joins.items()},
        in_chunks=measured if measured_whole else None,
        whole=measured_whole,
    )
    return Evaluated(recording, evaluation, first, joins[DEFAULT_JOIN][1] if joins else ())


def _unchunked(settings: Settings) -> Settings:
    """Chunks as long as any recording, and time enough for them."""
    chunks = settings.chunks.model_copy(update={"target_s": WHOLE_S, "max_s": WHOLE_S})
    queue = settings.queue.model_copy(update={"chunk_time_limit_s": WHOLE_S, "step_time_limit_s": WHOLE_S})
    return settings.model_copy(update={"chunks": chunks, "queue": queue})


@contextmanager
def _open_listener(settings: Settings, interrupts: Interrupts) -> Iterator[Listener]:
    """A warm stack with the engines of ``settings`` and everything else its own, gone afterwards."""
    with tempfile.TemporaryDirectory(prefix="erni-eval-") as directory:
        own = demo_settings(settings, Path(directory))
        with open_embedded_stack(own, interrupts, lambda *_: None) as embedded:

            def tend(_job: JobJson) -> None:
                interrupts.check()
                embedded.stack.tend()

            key = own.admin_key.get_secret_value() if own.admin_key is not None else None
            with ErniClient(embedded.api_url, key) as client:
                listener = Listener(client, build_blobs(own), tend)
                listener.warm_up()
                yield listener
