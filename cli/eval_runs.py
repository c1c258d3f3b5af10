"""Runs the recordings through stacks of their own, by REST, and measures what comes out.

Two passes: cut into chunks as this installation is set, and each recording in one piece, which also diarizes it as a
whole. The difference is the price of chunking.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from cli.client import ErniClient, JobJson
from cli.demo import SAMPLE, demo_settings
from cli.embedded import open_embedded_stack
from cli.failures import RequestFailed
from cli.interrupts import Interrupts
from config.bootstrap import build_services
from config.settings import Settings
from erni import blob_paths
from erni.capabilities import DiarizerCapabilities
from erni.codec import load_diarization
from erni.engine_ports import ChunkedDiarizer, ClusteringRequest
from erni.errors import BlobNotFound
from erni.jobs import CacheUse, Job, JobStatus
from erni.model import JoinStrategy, Turn
from erni.options import JOIN_STRATEGIES
from erni.services import Services
from erni.steps.pieces import load_plan
from erni.steps.reusing import find_voices, stage_keys
from erni.voices import Voices, gather_voices
from evals.borders import BorderJoin
from evals.evaluations import Evaluation
from evals.hearing import Hearing, join_plainly, parse_hearing
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

    def __init__(self, client: ErniClient, services: Services, tend: Callable[[JobJson], None]) -> None:
        """``services`` are those of the stack; ``tend`` is called while waiting."""
        self._client = client
        self._services = services
        self._tend = tend

    def warm_up(self) -> None:
        """Have the workers load their models, so that the first recording's time is not theirs."""
        self._client.wait(self._client.submit(SAMPLE, {"cache": "bypass"})["id"], self._tend)

    def hear(
        self, recording: Recording, join: JoinStrategy, cache: CacheUse, *, with_plain: bool = False
    ) -> Hearing | NotHeard:
        """``with_plain`` finds the plain turns besides, of a job that heard the voices itself."""
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
        hearing = parse_hearing(job, transcript, self._load_turns(job))
        return replace(hearing, plain_turns=self._find_plain_turns(job["id"])) if with_plain else hearing

    def _load_turns(self, job: JobJson) -> tuple[Turn, ...] | None:
        """The diarizer's own, before words were joined to them; none where nobody was heard."""
        if job["options"]["diarizer"] is None:
            return None
        try:
            return load_diarization(self._services.blobs.get_bytes(blob_paths.turns(job["id"]))).turns
        except BlobNotFound:
            return ()

    def _find_plain_turns(self, job_id: str) -> tuple[Turn, ...] | None:
        """By the job's voices without those heard closely; ``None`` where none were, or where no cache has them."""
        job = self._services.jobs.get(job_id)
        diarizer = self._services.diarizers.get(job.options.diarizer or "")
        if not isinstance(diarizer, ChunkedDiarizer):
            return None
        voices = gather_voices(self._find_voices(job, diarizer.capabilities))
        if voices is None or voices.changes is None:
            return None
        return diarizer.cluster(ClusteringRequest(replace(voices, changes=None), None, None, None)).turns

    def _find_voices(self, job: Job, diarizer: DiarizerCapabilities) -> Iterator[Voices]:
        plan, keys = load_plan(self._services, job.job_id), stage_keys(self._services, job)
        for chunk in plan.chunks:
            found = find_voices(self._services, job, keys.embed(plan, chunk, diarizer))
            if found is not None:
                yield found[0]


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
    heard: dict[str, dict[BorderJoin, Hearing] | NotHeard] = {}
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


def _hear_joins(listener: Listener, recording: Recording) -> dict[BorderJoin, Hearing] | NotHeard:
    """Every join of the same words and turns; only the first one works for them."""
    first = listener.hear(recording, DEFAULT_JOIN, "refresh", with_plain=True)
    if isinstance(first, NotHeard):
        return first
    by_join: dict[BorderJoin, Hearing] = {DEFAULT_JOIN: first}
    for join in JOIN_STRATEGIES:
        if join != DEFAULT_JOIN:
            hearing = listener.hear(recording, join, "use")
            if isinstance(hearing, NotHeard):
                return hearing
            by_join[join] = hearing
    plain = join_plainly(first)
    return by_join if plain is None else {**by_join, "plain": plain}


def _measure(
    recording: Recording, heard: dict[BorderJoin, Hearing] | NotHeard, whole: Hearing | NotHeard | None
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
                listener = Listener(client, build_services(own), tend)
                listener.warm_up()
                yield listener
