"""The run: hosts up, what each recording should become, faults one after another under load, and the reckoning."""

from __future__ import annotations

import random
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import click
import httpx

from chaos.engine_server import EngineState, open_engine
from chaos.faults import CYCLE, SHORT, Field, draw_kinds, inject
from chaos.hosts import Hosts, open_hosts
from chaos.ledger import Ledger, find_double_payments
from chaos.load import Load, Pool, SentJob
from chaos.recordings import make_recording
from chaos.report import Evidence, JobEnd, Recovered, Report, Verdict, build_report

END_LIMIT_S: Final = 240.0
BASELINE_LIMIT_S: Final = 300.0
WAIT_S: Final = 0.5


@dataclass(frozen=True, slots=True)
class Scale:
    """How large a run is: jobs kept in flight, faults, recordings of each pool, and the calm between two faults."""

    in_flight: int
    faults: int
    own: int
    shared: int
    kinds: tuple[str, ...] = CYCLE
    calm_s: tuple[float, float] = (1.0, 4.0)


SHORT_SCALE: Final = Scale(in_flight=6, faults=len(SHORT), own=3, shared=3, kinds=SHORT, calm_s=(0.5, 1.5))


@dataclass(frozen=True, slots=True)
class Baseline:
    """Each recording's undisturbed transcript, and the digests of the audio that equal jobs share."""

    expected: Mapping[Path, Any]
    shared_digests: frozenset[str]


def run_campaign(directory: Path, seed: int, scale: Scale) -> Report:
    """Everything, in ``directory``; the stack's data and logs stay there.

    Raises:
        HostFailed: a host does not start or stop.
        RuntimeError: an undisturbed job does not succeed.
    """
    ledger = Ledger()
    with open_engine(ledger) as (engine_url, engine), open_hosts(directory, engine_url) as hosts:
        recordings = _make_recordings(directory, seed, scale)
        click.echo(f"both hosts are ready; the undisturbed transcripts of {scale.own + scale.shared} recordings ...")
        baseline = _run_undisturbed(hosts, engine, recordings)
        first_call = len(ledger.calls())
        load = Load(hosts.api_url, hosts.key)
        draw = random.Random(seed)  # noqa: S311  # to repeat a run, not to guard anything
        field = Field(hosts, engine, ledger, load, draw)
        try:
            load.start(recordings, scale.in_flight, random.Random(seed))  # noqa: S311  # as above
            try:
                recovered = _strike(field, scale)
            finally:
                load.stop()
            _wait_until_over(load, END_LIMIT_S)
            ends = [_judge(load, job, baseline.expected[job.recording]) for job in load.jobs()]
        finally:
            load.close()
    calls = ledger.calls(first_call)
    payments = find_double_payments(calls, [each.injection for each in recovered], baseline.shared_digests)
    outcomes = Counter(str(call.outcome) for call in calls)
    return build_report(seed, Evidence(ends, payments, recovered, outcomes, load.refused))


def _make_recordings(directory: Path, seed: int, scale: Scale) -> dict[Pool, list[Path]]:
    place = directory / "recordings"
    place.mkdir()
    paths = [make_recording(place, seed, number) for number in range(scale.own + scale.shared)]
    return {"own": paths[: scale.own], "shared": paths[scale.own :]}


def _run_undisturbed(hosts: Hosts, engine: EngineState, recordings: Mapping[Pool, Sequence[Path]]) -> Baseline:
    """Every recording once, past the cache and with an engine that takes no time."""
    engine.pace = 0.0
    load = Load(hosts.api_url, hosts.key)
    try:
        _submit_all(load, recordings["own"])
        first_shared = len(engine.ledger.calls())
        _submit_all(load, recordings["shared"])
        failed = [job for job in load.jobs() if job.status != "succeeded"]
        if failed:
            raise RuntimeError(f"undisturbed, job {failed[0].job_id} is {failed[0].status}: {failed[0].error}")
        expected = {job.recording: load.transcript(job.job_id) for job in load.jobs()}
    finally:
        load.close()
        engine.pace = 1.0
    return Baseline(expected, frozenset(call.digest for call in engine.ledger.calls(first_shared)))


def _submit_all(load: Load, recordings: Sequence[Path]) -> None:
    for recording in recordings:
        load.submit(recording, "own")
    _wait_until_over(load, BASELINE_LIMIT_S)


def _strike(field: Field, scale: Scale) -> list[Recovered]:
    """One fault after the other, each after a calm of its own length."""
    recovered = []
    kinds = draw_kinds(field.draw, scale.kinds)
    for number in range(scale.faults):
        time.sleep(field.draw.uniform(*scale.calm_s))
        kind = next(kinds)
        injection, recovery_s = inject(field, kind, number)
        recovered.append(Recovered(injection, recovery_s))
        outcome = f"went on after {recovery_s:.1f} s" if recovery_s is not None else "did NOT go on"
        click.echo(f"fault {number + 1:3} of {scale.faults}: {kind:17} {outcome}; {_count_over(field.load.jobs())}")
    return recovered


def _count_over(jobs: Sequence[SentJob]) -> str:
    return f"{sum(job.over_s is not None for job in jobs)} of {len(jobs)} jobs over"


def _wait_until_over(load: Load, limit_s: float) -> None:
    """Ask until every job is over or time is up."""
    until_s = time.monotonic() + limit_s
    while time.monotonic() < until_s:
        load.poll()
        if all(job.over_s is not None or job.is_missing for job in load.jobs()):
            return
        time.sleep(WAIT_S)


def _judge(load: Load, job: SentJob, expected: Any) -> JobEnd:
    def end(verdict: Verdict, detail: str = "") -> JobEnd:
        return JobEnd(job.job_id, job.accepted_s, job.over_s, verdict, detail)

    if job.is_missing:
        return end("lost", "unknown to the API")
    if job.over_s is None:
        return end("stuck", f"{job.status} at {job.progress:.0%}")
    if job.status != "succeeded":
        return end("lost", f"{job.status}: {job.error}")
    try:
        found = load.transcript(job.job_id)
    except httpx.HTTPError as error:
        return end("lost", f"no transcript: {error}")
    return end("right") if found == expected else end("wrong", "another transcript than undisturbed")
