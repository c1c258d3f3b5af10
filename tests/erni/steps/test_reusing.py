"""Earlier results are used again: the same job, the same file with other options, and never another tenant's."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

import pytest
import redis

from erni import blob_paths, codec
from erni.engine_ports import DiarizationRequest, TranscriptionRequest
from erni.engines.scripted import TRANSCRIBER, ScriptedDiarizer, ScriptedTranscriber
from erni.errors import StorageFull, WorkPostponed
from erni.jobs import Job, JobStatus, Step, StepKind
from erni.model import Turn, Word
from erni.services import Services
from erni.steps.diarizing import diarize_job
from erni.steps.ending import delete_job
from erni.steps.finishing import finish_job
from erni.steps.preparing import prepare_job
from erni.steps.recognising import transcribe_chunk
from erni.steps.reusing import chunk_limits

Submit = Callable[..., Job]
PRICE = 0.006


@dataclass
class Ledger:
    """What the engines were paid for."""

    chunks: list[str] = field(default_factory=list)
    recordings: list[str] = field(default_factory=list)

    def transcribe(self, request: TranscriptionRequest) -> tuple[Word, ...]:
        self.chunks.append(request.key)
        return tuple(Word(f"word{second}", second + 0.1, second + 0.9) for second in range(int(request.duration_s)))

    def diarize(self, request: DiarizationRequest) -> tuple[Turn, ...]:
        self.recordings.append(request.key)
        return (Turn(0.0, request.speech[-1].end_s, "A"),)


@pytest.fixture
def ledger() -> Ledger:
    return Ledger()


@pytest.fixture
def paid(services: Services, ledger: Ledger) -> Services:
    """Services whose engines write down each call."""
    return replace(
        services,
        transcribers={"scripted": ScriptedTranscriber(ledger.transcribe, replace(TRANSCRIBER, usd_per_minute=PRICE))},
        diarizers={"scripted": ScriptedDiarizer(ledger.diarize)},
    )


def run_all(services: Services, job: Job) -> Job:
    prepare_job(services, job.job_id)
    if not services.jobs.get(job.job_id).status.is_over:
        for index in range(services.jobs.get(job.job_id).chunks_total or 0):
            assert transcribe_chunk(services, job.job_id, index) == "ok"
        assert diarize_job(services, job.job_id) == "ok"
        finish_job(services, job.job_id)
    done = services.jobs.get(job.job_id)
    assert done.status is JobStatus.SUCCEEDED
    return done


def text_of(services: Services, job: Job) -> str:
    return codec.load_transcript(services.blobs.get_bytes(blob_paths.transcript(job.job_id))).text


def reused_steps(services: Services, job: Job) -> list[Step]:
    return [step for step in services.jobs.steps(job.job_id) if step.savings is not None]


def test_the_same_job_again_asks_no_engine(paid: Services, submit: Submit, ledger: Ledger) -> None:
    first = run_all(paid, submit())
    calls = (len(ledger.chunks), len(ledger.recordings))
    again = submit()
    prepare_job(paid, again.job_id)
    done = paid.jobs.get(again.job_id)
    assert done.status is JobStatus.SUCCEEDED
    assert done.duration_s == pytest.approx(first.duration_s, abs=0.001)
    assert (done.speech_s, done.chunks_total) == (first.speech_s, first.chunks_total)
    assert text_of(paid, again) == text_of(paid, first)
    assert (len(ledger.chunks), len(ledger.recordings)) == calls
    (step,) = reused_steps(paid, again)
    assert step.kind is StepKind.JOIN
    assert step.savings is not None
    assert step.savings.usd == pytest.approx(PRICE * 86 / 60, rel=0.2)


def test_another_speaker_count_runs_the_diarizer_alone(paid: Services, submit: Submit, ledger: Ledger) -> None:
    first = run_all(paid, submit())
    chunks = len(ledger.chunks)
    other = run_all(paid, submit(num_speakers=1))
    assert len(ledger.chunks) == chunks
    assert len(ledger.recordings) == 2
    assert text_of(paid, other) == text_of(paid, first)
    kinds = [step.kind for step in reused_steps(paid, other)]
    assert kinds == [StepKind.PREPARE, *[StepKind.TRANSCRIBE] * (first.chunks_total or 0)]


def test_another_join_asks_no_engine(paid: Services, submit: Submit, ledger: Ledger) -> None:
    run_all(paid, submit())
    calls = (len(ledger.chunks), len(ledger.recordings))
    run_all(paid, submit(join="overlap"))
    assert (len(ledger.chunks), len(ledger.recordings)) == calls


def test_another_language_transcribes_anew_without_decoding(paid: Services, submit: Submit, ledger: Ledger) -> None:
    first = run_all(paid, submit())
    other = run_all(paid, submit(language="en"))
    assert len(ledger.chunks) == 2 * (first.chunks_total or 0)
    assert len(ledger.recordings) == 1
    assert [step.kind for step in reused_steps(paid, other)] == [StepKind.PREPARE, StepKind.DIARIZE]


def test_the_audio_of_a_deleted_job_is_decoded_again(paid: Services, submit: Submit) -> None:
    first = run_all(paid, submit())
    paid.blobs.delete_tree(blob_paths.job_root(first.job_id))
    other = run_all(paid, submit(num_speakers=1))
    assert StepKind.PREPARE not in {step.kind for step in reused_steps(paid, other)}


@pytest.mark.parametrize("use", ["bypass", "refresh"])
def test_who_does_not_want_earlier_results_gets_none(paid: Services, submit: Submit, ledger: Ledger, use: str) -> None:
    first = run_all(paid, submit())
    anew = run_all(paid, submit(cache=use))
    assert len(ledger.chunks) == 2 * (first.chunks_total or 0)
    assert reused_steps(paid, anew) == []


def test_a_refreshed_result_answers_the_next_job(paid: Services, submit: Submit) -> None:
    run_all(paid, submit(cache="refresh"))
    assert reused_steps(paid, run_all(paid, submit()))


def test_a_bypassing_job_answers_nobody(paid: Services, submit: Submit) -> None:
    run_all(paid, submit(cache="bypass"))
    assert reused_steps(paid, run_all(paid, submit())) == []


def test_losing_redis_costs_time_but_no_correctness(
    paid: Services, submit: Submit, ledger: Ledger, redis_client: redis.Redis
) -> None:
    first = run_all(paid, submit())
    redis_client.flushdb()
    again = run_all(paid, submit())
    assert text_of(paid, again) == text_of(paid, first)
    assert len(ledger.chunks) == 2 * (first.chunks_total or 0)


def test_deleting_a_job_takes_its_text_out_of_the_cache(
    paid: Services, submit: Submit, redis_client: redis.Redis
) -> None:
    job = run_all(paid, submit())
    removed = delete_job(paid, job.job_id)
    assert removed.cache_entries == (job.chunks_total or 0) + 3  # preparation, diarization, outcome
    assert removed.blobs > 2
    assert removed.steps == (job.chunks_total or 0) + 3
    assert list(redis_client.scan_iter("erni:*")) == []


def test_a_job_broken_off_by_a_full_disk_does_not_pay_twice(paid: Services, submit: Submit, ledger: Ledger) -> None:
    """The engine has answered when the disk turns out to be full; the answer waits in the cache."""
    for use in ("use", "refresh", "bypass"):
        job = submit(cache=use)
        prepare_job(paid, job.job_id)
        calls = len(ledger.chunks)
        full = replace(paid, blobs=FullDisk(paid.blobs))  # type: ignore[arg-type]  # delegates what it lacks
        with pytest.raises(WorkPostponed, match="no space"):
            transcribe_chunk(full, job.job_id, 0)
        assert transcribe_chunk(paid, job.job_id, 0) == "ok"
        assert len(ledger.chunks) == calls + 1
        delete_job(paid, job.job_id)


@dataclass
class FullDisk:
    """A blob store whose writes fail as on a full disk."""

    whole: Any

    def __getattr__(self, name: str) -> Any:
        return getattr(self.whole, name)

    def put_bytes(self, path: str, content: bytes) -> None:
        raise StorageFull("The blobs have no space left.")


def test_an_answer_whose_job_is_gone_is_made_anew(paid: Services, submit: Submit, ledger: Ledger) -> None:
    first = run_all(paid, submit())
    paid.blobs.delete_tree(blob_paths.job_root(first.job_id))
    again = run_all(paid, submit())
    assert text_of(paid, again)
    assert [step.kind for step in reused_steps(paid, again)].count(StepKind.JOIN) == 0


def test_chunks_are_as_long_as_every_engine_of_the_job_takes_and_the_first_one_likes(
    services: Services, submit: Submit
) -> None:
    engines = {
        "first": replace(TRANSCRIBER, target_chunk_s=25.0),
        "second": replace(TRANSCRIBER, max_chunk_s=24.0),
        "third": replace(TRANSCRIBER, max_chunk_s=23.0, max_bytes=160_000, upload_format="ogg"),
    }
    many = replace(
        services, transcribers={name: ScriptedTranscriber(Ledger().transcribe, can) for name, can in engines.items()}
    )
    wanted = services.limits.chunks
    for fallback, max_s, target_s in (
        ((), wanted.max_s, 25.0),
        (("second",), 24.0, 24.0),
        (("second", "third"), 20.0, 20.0),
        (("not set up here",), wanted.max_s, 25.0),
    ):
        job = submit(engine="first", fallback=fallback)
        assert chunk_limits(many, job) == replace(wanted, max_s=max_s, target_s=target_s)
