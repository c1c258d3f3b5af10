"""A job's steps in order, each run as a worker would, with scripted engines; and each of them run twice."""

from __future__ import annotations

import time
import wave
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from erni import blob_paths, codec
from erni.engine_ports import DiarizationRequest, TranscriptionRequest
from erni.engines.scripted import TRANSCRIBER, ScriptedDiarizer, ScriptedTranscriber
from erni.errors import (
    BlobNotFound,
    EmptyUpload,
    EngineRejected,
    EngineUnavailable,
    InvalidOption,
    JobConflict,
    JobNotFound,
    WorkPostponed,
)
from erni.jobs import Job, JobStatus, Piece, StepKind
from erni.model import Transcript, Turn, Word
from erni.services import Services
from erni.steps.cleaning import delete_expired, delete_temporary
from erni.steps.diarizing import diarize_job
from erni.steps.ending import cancel_job, delete_job
from erni.steps.finishing import finish_job
from erni.steps.pieces import DIARIZATION, load_plan
from erni.steps.preparing import prepare_job
from erni.steps.recognising import transcribe_chunk
from erni.steps.running import StepFailed
from erni.steps.sweeping import sweep_jobs

Submit = Callable[..., Job]


def run_pieces(services: Services, job_id: str) -> list[str]:
    chunks = services.jobs.get(job_id).chunks_total or 0
    return [
        diarize_job(services, job_id),
        *(transcribe_chunk(services, job_id, index) for index in range(chunks)),
    ]


def run_all(services: Services, job: Job) -> Job:
    prepare_job(services, job.job_id)
    run_pieces(services, job.job_id)
    finish_job(services, job.job_id)
    return services.jobs.get(job.job_id)


def transcript_of(services: Services, job: Job) -> Transcript:
    return codec.load_transcript(services.blobs.get_bytes(blob_paths.transcript(job.job_id)))


def test_a_job_goes_through_its_states_to_a_transcript(services: Services, submit: Submit, queue: object) -> None:
    job = submit()
    assert job.status is JobStatus.QUEUED
    prepare_job(services, job.job_id)
    prepared = services.jobs.get(job.job_id)
    assert prepared.status is JobStatus.PROCESSING
    assert prepared.chunks_total is not None
    assert prepared.chunks_total > 1
    sent, (name, job_id, fan_out) = queue.sent  # type: ignore[attr-defined]  # NotingQueue
    assert (sent, name, job_id) == (("prepare", job.job_id), "fan_out", job.job_id)
    assert fan_out.whole == (DIARIZATION,)
    chunks = load_plan(services, job.job_id).chunks
    assert len(fan_out.lanes) == 2
    assert all(lane.kind is StepKind.TRANSCRIBE for lane in fan_out.lanes)
    assert chunks[fan_out.lanes[0].chunk].audio.duration_s == max(chunk.audio.duration_s for chunk in chunks)
    assert set(run_pieces(services, job.job_id)) == {"ok"}
    finish_job(services, job.job_id)
    done = services.jobs.get(job.job_id)
    assert done.status is JobStatus.SUCCEEDED
    transcript = transcript_of(services, job)
    assert transcript.speakers == ("speaker_1", "speaker_2")
    assert len(transcript.words) > 40
    assert transcript.coverage.covered_speech_s == pytest.approx(transcript.coverage.speech_s)


def test_every_step_may_run_twice(services: Services, submit: Submit, meter: object) -> None:
    job = submit()
    prepare_job(services, job.job_id)
    prepare_job(services, job.job_id)
    run_pieces(services, job.job_id)
    run_pieces(services, job.job_id)
    finish_job(services, job.job_id)
    first = services.blobs.get_bytes(blob_paths.transcript(job.job_id))
    finish_job(services, job.job_id)
    assert services.blobs.get_bytes(blob_paths.transcript(job.job_id)) == first
    chunks = services.jobs.get(job.job_id).chunks_total
    assert meter.stages.count("transcribe") == chunks  # type: ignore[attr-defined]  # NotingMeter
    assert meter.jobs == ["succeeded"]  # type: ignore[attr-defined]  # NotingMeter


def test_a_finished_job_keeps_no_pieces(services: Services, submit: Submit) -> None:
    job = run_all(services, submit())
    assert not services.blobs.exists(blob_paths.chunk_result(job.job_id, 0))
    assert not services.blobs.exists(blob_paths.chunk_audio(job.job_id, 0, "flac"))
    assert services.blobs.exists(blob_paths.source(job.job_id))


@pytest.mark.parametrize(
    "limits", [{"max_chunk_s": 15.0}, {"max_bytes": 500_000}], ids=["by its seconds", "by its bytes"]
)
def test_chunks_are_as_short_as_every_engine_of_the_job_wants_them(
    services: Services, submit: Submit, limits: dict[str, float]
) -> None:
    heard: list[float] = []

    def listen(request: TranscriptionRequest) -> tuple[Word, ...]:
        heard.append(request.duration_s)
        return (Word("word", 0.1, 0.5),)

    short = ScriptedTranscriber(listen, replace(TRANSCRIBER, engine="short", **limits))  # type: ignore[arg-type]  # numbers
    services = replace(services, transcribers={"scripted": ScriptedTranscriber(listen), "short": short})
    assert run_all(services, submit(fallback=("short",))).status is JobStatus.SUCCEEDED
    assert len(heard) >= 86 / 16
    assert max(heard) <= 16


def test_a_refused_chunk_is_a_gap_and_the_job_is_partial(services: Services, submit: Submit) -> None:
    def refuse_the_first(request: TranscriptionRequest) -> tuple[Word, ...]:
        if "00000" in request.audio.name:
            raise EngineRejected("The engine does not like this chunk.")
        return (Word("rest", 0.5, 0.9),)

    services = replace(services, transcribers={"scripted": ScriptedTranscriber(refuse_the_first)})
    job = run_all(services, submit())
    assert job.status is JobStatus.PARTIAL
    (gap,) = transcript_of(services, job).coverage.gaps
    assert gap.span.start_s == 0.0
    assert gap.reason == "The engine does not like this chunk."
    assert gap.engines == ("scripted",)


def test_a_job_without_any_words_fails_with_the_reason(services: Services, submit: Submit) -> None:
    def refuse(_request: TranscriptionRequest) -> tuple[Word, ...]:
        raise EngineRejected("No credit left.")

    services = replace(services, transcribers={"scripted": ScriptedTranscriber(refuse)})
    job = run_all(services, submit())
    assert job.status is JobStatus.FAILED
    assert job.failure is not None
    assert job.failure.code == "nothing_transcribed"
    assert "No credit left." in job.failure.message


def test_a_passing_fault_is_left_to_the_caller_to_try_again(services: Services, submit: Submit) -> None:
    def be_away(_request: TranscriptionRequest) -> tuple[Word, ...]:
        raise EngineUnavailable("Back soon.")

    away = replace(services, transcribers={"scripted": ScriptedTranscriber(be_away)})
    job = submit()
    prepare_job(services, job.job_id)
    for _ in range(services.limits.max_deliveries + 1):  # its worker came back each time: this is no poison
        with pytest.raises(WorkPostponed):
            transcribe_chunk(away, job.job_id, 0)
    step = services.jobs.find_step(job.job_id, Piece(StepKind.TRANSCRIBE, 0))
    assert step is not None
    assert step.retry_at is not None
    assert step.reason == "Back soon."
    assert transcribe_chunk(services, job.job_id, 0) == "ok"


def test_a_failed_diarization_keeps_the_transcript(services: Services, submit: Submit) -> None:
    def refuse(_request: DiarizationRequest) -> tuple[Turn, ...]:
        raise EngineRejected("Too many voices.")

    services = replace(services, diarizers={"scripted": ScriptedDiarizer(refuse)})
    job = run_all(services, submit())
    assert job.status is JobStatus.SUCCEEDED
    transcript = transcript_of(services, job)
    assert transcript.speakers == ()
    assert len(transcript.words) > 40
    (warning,) = [notice for notice in job.warnings if notice.code == "diarization_failed"]
    assert "Too many voices." in warning.message


def test_fewer_voices_than_asked_for_are_said(services: Services, submit: Submit) -> None:
    job = run_all(services, submit(num_speakers=5))
    assert "speaker_count_not_reached" in {notice.code for notice in job.warnings}


def test_a_piece_that_keeps_ending_its_worker_is_given_up(services: Services, submit: Submit) -> None:
    job = submit()
    prepare_job(services, job.job_id)
    for _ in range(services.limits.max_deliveries):
        services.jobs.begin_step(job.job_id, Piece(StepKind.TRANSCRIBE, 0))
    assert transcribe_chunk(services, job.job_id, 0) == "gap"
    assert transcribe_chunk(services, job.job_id, 1) == "ok"


def test_a_join_that_keeps_ending_its_worker_is_given_up(services: Services, submit: Submit) -> None:
    job = submit()
    prepare_job(services, job.job_id)
    run_pieces(services, job.job_id)
    for _ in range(services.limits.max_deliveries):
        services.jobs.begin_step(job.job_id, Piece(StepKind.JOIN))
    with pytest.raises(StepFailed) as failed:
        finish_job(services, job.job_id)
    assert failed.value.cause.code == "work_lost"


def test_silence_is_an_empty_transcript_that_says_so(services: Services, submit: Submit, tmp_path: Path) -> None:
    silence = tmp_path / "silence.wav"
    write_silence(silence, 3.0)
    job = submit(silence)
    prepare_job(services, job.job_id)
    assert services.jobs.get(job.job_id).chunks_total == 0
    finish_job(services, job.job_id)
    done = services.jobs.get(job.job_id)
    assert done.status is JobStatus.SUCCEEDED
    assert "no_speech" in {notice.code for notice in done.warnings}
    assert transcript_of(services, job).words == ()


def write_silence(path: Path, seconds: float) -> None:
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(16000)
        file.writeframes(bytes(2 * int(16000 * seconds)))


def test_a_file_that_is_no_recording_is_refused_with_advice(services: Services, submit: Submit, tmp_path: Path) -> None:
    text = tmp_path / "minutes.wav"
    text.write_text("These are the minutes of a meeting, not its sound.\n" * 40)
    job = submit(text)
    with pytest.raises(StepFailed) as failed:
        prepare_job(services, job.job_id)
    assert failed.value.cause.code == "unreadable_media"


def test_an_empty_upload_is_not_accepted(services: Services, submit: Submit, tmp_path: Path) -> None:
    empty = tmp_path / "empty.wav"
    empty.touch()
    with pytest.raises(EmptyUpload):
        submit(empty)
    assert list(services.jobs.unfinished()) == []


def test_a_job_is_accepted_while_the_broker_is_away(services: Services, submit: Submit, queue: object) -> None:
    queue.is_away = True  # type: ignore[attr-defined]  # NotingQueue
    job = submit()
    assert services.jobs.get(job.job_id).status is JobStatus.QUEUED


def test_the_same_idempotency_key_returns_the_same_job(services: Services, submit: Submit, queue: object) -> None:
    first = submit(idempotency_key="monday")
    again = submit(idempotency_key="monday")
    assert again.job_id == first.job_id
    assert queue.sent == [("prepare", first.job_id)]  # type: ignore[attr-defined]  # NotingQueue
    assert len(list(services.blobs.list_roots("jobs"))) == 1


def test_an_idempotency_key_does_not_serve_two_requests(services: Services, submit: Submit) -> None:
    submit(idempotency_key="monday")
    with pytest.raises(InvalidOption):
        submit(idempotency_key="monday", num_speakers=2)


def test_a_cancelled_job_wants_no_more_work(services: Services, submit: Submit) -> None:
    job = submit()
    prepare_job(services, job.job_id)
    assert cancel_job(services, job.job_id).status is JobStatus.CANCELLED
    assert set(run_pieces(services, job.job_id)) == {"cancelled"}
    finish_job(services, job.job_id)
    assert services.jobs.get(job.job_id).status is JobStatus.CANCELLED
    with pytest.raises(JobConflict):
        cancel_job(services, job.job_id)


def test_a_chunk_at_work_stops_when_its_job_is_cancelled(services: Services, submit: Submit) -> None:
    job = submit()
    prepare_job(services, job.job_id)

    def work_until_stopped(request: TranscriptionRequest) -> tuple[Word, ...]:
        cancel_job(services, job.job_id)
        for _ in range(200):
            time.sleep(0.02)
            request.checkpoint()
        return ()

    working = replace(services, transcribers={"scripted": ScriptedTranscriber(work_until_stopped)})
    assert transcribe_chunk(working, job.job_id, 0) == "cancelled"
    assert not services.blobs.exists(blob_paths.chunk_result(job.job_id, 0))


def test_a_deleted_job_leaves_nothing_even_from_a_chunk_at_work(services: Services, submit: Submit) -> None:
    job = submit()
    prepare_job(services, job.job_id)

    def be_deleted_meanwhile(_request: TranscriptionRequest) -> tuple[Word, ...]:
        delete_job(services, job.job_id)
        return (Word("late", 0.0, 0.5),)

    working = replace(services, transcribers={"scripted": ScriptedTranscriber(be_deleted_meanwhile)})
    transcribe_chunk(working, job.job_id, 0)
    with pytest.raises(JobNotFound):
        services.jobs.get(job.job_id)
    with pytest.raises(BlobNotFound):
        services.blobs.get_bytes(blob_paths.source(job.job_id))
    assert list(services.blobs.list_roots("jobs")) == []


def test_the_sweeper_leaves_what_the_queue_holds(
    services: Services, submit: Submit, queue: object, clock: object
) -> None:
    job = submit()
    clock.now += timedelta(seconds=600)  # type: ignore[attr-defined]  # Clock
    queue.held.add(job.job_id)  # type: ignore[attr-defined]  # NotingQueue
    assert sweep_jobs(services) == 0


def test_the_sweeper_brings_a_lost_job_to_its_end(
    services: Services, submit: Submit, queue: object, clock: object
) -> None:
    """Every message is lost, again and again; the sweeper alone carries the job through all of its steps."""
    job = submit()
    steps = []
    for _ in range(4):
        queue.sent.clear()  # type: ignore[attr-defined]  # NotingQueue
        clock.now += timedelta(seconds=600)  # type: ignore[attr-defined]  # Clock
        sweep_jobs(services)
        for message in queue.sent:  # type: ignore[attr-defined]  # NotingQueue
            steps.append(message[0])
            deliver(services, message)
    assert steps == ["prepare", "fan_out", "finish"]
    assert services.jobs.get(job.job_id).status is JobStatus.SUCCEEDED


def deliver(services: Services, message: tuple[object, ...]) -> None:
    job_id = str(message[1])
    if message[0] == "prepare":
        prepare_job(services, job_id)
    elif message[0] == "fan_out":
        run_pieces(services, job_id)
    else:
        finish_job(services, job_id)


def test_the_sweeper_fails_what_is_past_its_deadline(
    services: Services, submit: Submit, queue: object, clock: object
) -> None:
    job = submit()
    queue.held.add(job.job_id)  # type: ignore[attr-defined]  # NotingQueue
    clock.now += timedelta(seconds=services.limits.deadline_s + 1)  # type: ignore[attr-defined]  # Clock
    sweep_jobs(services)
    failed = services.jobs.get(job.job_id)
    assert failed.status is JobStatus.FAILED
    assert failed.failure is not None
    assert failed.failure.code == "deadline_exceeded"


def test_expired_jobs_are_deleted_and_young_ones_stay(services: Services, submit: Submit, clock: object) -> None:
    old = run_all(services, submit())
    clock.now += timedelta(seconds=services.limits.retention_s + 1)  # type: ignore[attr-defined]  # Clock
    young = run_all(services, submit())
    assert delete_expired(services) == 1
    with pytest.raises(JobNotFound):
        services.jobs.get(old.job_id)
    assert transcript_of(services, young).words


def test_left_over_files_and_orphaned_blobs_are_removed_when_old(
    services: Services, submit: Submit, clock: object
) -> None:
    job = submit()
    services.blobs.put_bytes(blob_paths.source("f" * 32), b"orphan")
    (services.temporary_dir / "work-left").mkdir()
    (services.temporary_dir / "upload-left").touch()
    assert delete_temporary(services) == 0
    clock.now += timedelta(seconds=services.limits.temporary_s + 60)  # type: ignore[attr-defined]  # Clock
    assert delete_temporary(services) == 3
    assert services.blobs.exists(blob_paths.source(job.job_id))
    assert not services.blobs.exists(blob_paths.source("f" * 32))
