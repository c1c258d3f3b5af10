"""A chunk moves on to the next engine: over OpenAI's protocol on loopback, with the scripted engine behind it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import timedelta

import pytest

from erni import blob_paths, codec
from erni.catalogue import load_catalogue
from erni.engines.openai_connection import OpenAIConnection
from erni.engines.openai_transcriber import OpenAITranscriber, openai_transcribers
from erni.engines.uploads import Uploads
from erni.errors import WorkPostponed
from erni.jobs import Job, JobStatus, Piece, Step, StepKind
from erni.model import Transcript
from erni.services import Services
from erni.steps.finishing import finish_job
from erni.steps.pieces import load_plan
from erni.steps.preparing import prepare_job
from erni.steps.recognising import transcribe_chunk
from vendors.faults import Fault
from vendors.listening import ScriptedListening
from vendors.openai import API_KEY, OpenAIVendor
from vendors.server import serve

Submit = Callable[..., Job]

ENGINE = "openai/whisper-1"
QUOTA = Fault(status=429, code="insufficient_quota")


@pytest.fixture
def vendor() -> OpenAIVendor:
    return OpenAIVendor(ScriptedListening())


@pytest.fixture
def remote(services: Services, vendor: OpenAIVendor) -> Iterator[Services]:
    """Services with OpenAI's engines in front of the scripted one."""
    with serve(vendor.app) as served:
        connection = OpenAIConnection("OpenAI", f"{served.url}/v1", API_KEY, timeout_s=5.0)
        engines = openai_transcribers(connection, load_catalogue(None, 1.16), Uploads())
        yield replace(services, transcribers={**services.transcribers, **engines})


def begin(services: Services, submit: Submit, **options: object) -> Job:
    job = submit(**{"engine": ENGINE, "fallback": ("scripted",), "diarizer": None, **options})
    prepare_job(services, job.job_id)
    return job


def work_off(services: Services, job: Job, most_runs: int = 30) -> Job:
    """Every chunk until it is over, as its message would come back."""
    for chunk in load_plan(services, job.job_id).chunks:
        for _ in range(most_runs):
            try:
                transcribe_chunk(services, job.job_id, chunk.index)
            except WorkPostponed:
                continue
            break
    finish_job(services, job.job_id)
    return services.jobs.get(job.job_id)


def step_of(services: Services, job: Job, chunk: int = 0) -> Step:
    step = services.jobs.find_step(job.job_id, Piece(StepKind.TRANSCRIBE, chunk))
    assert step is not None
    return step


def transcript_of(services: Services, job: Job) -> Transcript:
    return codec.load_transcript(services.blobs.get_bytes(blob_paths.transcript(job.job_id)))


def engines_of(services: Services, job: Job) -> list[tuple[str, tuple[str, ...]]]:
    return [(use.engine, use.given_up) for use in transcript_of(services, job).pieces]


def test_each_call_is_paid_as_the_vendor_reports_it(remote: Services, submit: Submit, vendor: OpenAIVendor) -> None:
    job = work_off(remote, begin(remote, submit))
    assert job.status is JobStatus.SUCCEEDED
    assert {engine for engine, _ in engines_of(remote, job)} == {ENGINE}
    paid_s = sum(billed.audio_s for billed in vendor.faults.billed)
    assert remote.ledger.spent_by_job(job.job_id) == pytest.approx(0.006 * paid_s / 60, rel=0.05)


def test_without_quota_one_call_is_enough_to_move_every_chunk_on(
    remote: Services, submit: Submit, vendor: OpenAIVendor
) -> None:
    vendor.faults.share(QUOTA, 1.0)
    job = work_off(remote, begin(remote, submit))
    assert job.status is JobStatus.SUCCEEDED
    assert set(engines_of(remote, job)) == {("scripted", (ENGINE,))}
    assert len(vendor.faults.received) == 1
    assert remote.ledger.spent_by_job(job.job_id) == 0.0


def test_a_refused_chunk_moves_on_alone(remote: Services, submit: Submit, vendor: OpenAIVendor) -> None:
    vendor.faults.order(Fault(status=400, path="/v1/audio"))
    job = work_off(remote, begin(remote, submit))
    first, *others = engines_of(remote, job)
    assert first == ("scripted", (ENGINE,))
    assert set(others) == {(ENGINE, ())}


def test_an_outage_opens_the_breaker_and_costs_few_calls(
    remote: Services, submit: Submit, vendor: OpenAIVendor
) -> None:
    vendor.faults.share(Fault(status=503), 1.0)
    job = work_off(remote, begin(remote, submit))
    assert set(engines_of(remote, job)) == {("scripted", (ENGINE,))}
    assert len(vendor.faults.received) <= 4


@pytest.mark.parametrize(("status", "is_reserved"), [(500, False), (503, False), (504, True), (408, True)])
def test_a_call_whose_answer_was_lost_on_the_way_stays_on_the_books(
    remote: Services, submit: Submit, vendor: OpenAIVendor, status: int, is_reserved: bool
) -> None:
    vendor.faults.order(Fault(status=status, path="/v1/audio"))
    job = begin(remote, submit)
    with pytest.raises(WorkPostponed):
        transcribe_chunk(remote, job.job_id, 0)
    assert (remote.ledger.spent_by_job(job.job_id) > 0) is is_reserved


def test_with_no_other_engine_a_chunk_waits_for_one_that_rests(
    remote: Services, submit: Submit, vendor: OpenAIVendor
) -> None:
    vendor.faults.order(QUOTA)
    job = begin(remote, submit, fallback=())
    assert transcribe_chunk(remote, job.job_id, 0) == "gap"
    for _ in range(100):
        with pytest.raises(WorkPostponed) as waiting:
            transcribe_chunk(remote, job.job_id, 1)
    assert 0 < (waiting.value.retry_after_s or 0) <= 61
    assert step_of(remote, job, 1).attempts == 0
    assert len(vendor.faults.received) == 1


def test_at_a_cap_the_rest_goes_to_a_free_engine(remote: Services, submit: Submit, vendor: OpenAIVendor) -> None:
    job = work_off(remote, begin(remote, submit, max_usd=0.004))
    assert job.status is JobStatus.SUCCEEDED
    assert set(engines_of(remote, job)) == {(ENGINE, ()), ("scripted", (ENGINE,))}
    assert remote.ledger.spent_by_job(job.job_id) <= 0.004


def test_at_a_cap_without_another_engine_the_gaps_say_so(remote: Services, submit: Submit) -> None:
    job = work_off(remote, begin(remote, submit, max_usd=0.004, fallback=()))
    assert job.status is JobStatus.PARTIAL
    assert "$0.004" in transcript_of(remote, job).coverage.gaps[0].reason


def test_an_engine_past_its_last_day_is_not_called(
    remote: Services, submit: Submit, vendor: OpenAIVendor, clock: object
) -> None:
    job = begin(remote, submit)
    clock.now += timedelta(days=365)  # type: ignore[attr-defined]  # Clock
    work_off(remote, job)
    assert "shut down" in step_of(remote, job).failures[0].reason
    assert vendor.faults.received == ()


def test_a_chunk_is_encoded_once_however_often_it_waits(remote: Services, submit: Submit, vendor: OpenAIVendor) -> None:
    vendor.faults.order(Fault(status=429, headers={"Retry-After": "0"}, path="/v1/audio"), 2)
    job = begin(remote, submit)
    upload = blob_paths.chunk_audio(job.job_id, 0, "ogg")
    with pytest.raises(WorkPostponed):
        transcribe_chunk(remote, job.job_id, 0)
    with remote.blobs.local_copy(upload) as file:
        first = file.stat().st_mtime_ns
    with pytest.raises(WorkPostponed):
        transcribe_chunk(remote, job.job_id, 0)
    with remote.blobs.local_copy(upload) as file:
        assert file.stat().st_mtime_ns == first


def test_the_engines_are_what_the_catalogue_says(remote: Services) -> None:
    engine = remote.transcribers[ENGINE]
    assert isinstance(engine, OpenAITranscriber)
    assert engine.capabilities.terms is not None
    assert engine.capabilities.terms.account.startswith("openai:")
