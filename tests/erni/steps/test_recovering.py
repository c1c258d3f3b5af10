"""What happens when things go wrong in the middle: equal work at once, engines that fail, retries, and restarts."""

from __future__ import annotations

import subprocess
import threading
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from erni import blob_paths, codec
from erni.engine_ports import DiarizationRequest, TranscriptionRequest
from erni.engines.scripted import TRANSCRIBER, ScriptedDiarizer, ScriptedTranscriber
from erni.errors import (
    EngineAnswerInvalid,
    EngineRateLimited,
    EngineRejected,
    EngineUnavailable,
    JobConflict,
    WorkHandedBack,
    WorkInFlight,
    WorkPostponed,
)
from erni.jobs import Job, JobStatus, Piece, Step, StepKind
from erni.model import Transcript, Turn, Word
from erni.ports import FanOut, Lane
from erni.services import Services
from erni.steps.diarizing import diarize_job
from erni.steps.ending import cancel_job
from erni.steps.finishing import finish_job
from erni.steps.preparing import prepare_job
from erni.steps.recognising import transcribe_chunk
from erni.steps.restarting import retry_job
from erni.steps.running import make_checkpoint
from erni.steps.sweeping import examine_jobs, sweep_jobs
from erni.steps.working import give_up_hung_engine, next_chunk

Submit = Callable[..., Job]
FIRST = Piece(StepKind.TRANSCRIBE, 0)
SAMPLE = Path(__file__).parents[3] / "samples" / "standup.flac"


def speak(request: TranscriptionRequest) -> tuple[Word, ...]:
    return tuple(Word(f"word{second}", second + 0.1, second + 0.9) for second in range(int(request.duration_s)))


def with_engines(services: Services, **scripts: Callable[[TranscriptionRequest], tuple[Word, ...]]) -> Services:
    """The scripted engine and others beside it."""
    engines = {name: ScriptedTranscriber(script, replace(TRANSCRIBER, engine=name)) for name, script in scripts.items()}
    return replace(services, transcribers={"scripted": ScriptedTranscriber(speak), **engines})


def step_of(services: Services, job: Job, piece: Piece = FIRST) -> Step:
    step = services.jobs.find_step(job.job_id, piece)
    assert step is not None
    return step


def run_chunks(services: Services, job: Job) -> list[str]:
    total = services.jobs.get(job.job_id).chunks_total or 0
    return [transcribe_chunk(services, job.job_id, index) for index in range(total)]


def transcript_of(services: Services, job: Job) -> Transcript:
    return codec.load_transcript(services.blobs.get_bytes(blob_paths.transcript(job.job_id)))


def test_of_two_equal_chunks_at_once_one_is_paid(services: Services, submit: Submit) -> None:
    """Two jobs with the same recording: while one asks the engine the other one comes back later."""
    first, second = submit(), submit()
    for job in (first, second):
        prepare_job(services, job.job_id)
    calls: list[str] = []
    is_asked, may_answer = threading.Event(), threading.Event()

    def answer_slowly(request: TranscriptionRequest) -> tuple[Word, ...]:
        calls.append(request.key)
        is_asked.set()
        assert may_answer.wait(30)
        return speak(request)

    slow = with_engines(services, scripted=answer_slowly)
    worker = threading.Thread(target=transcribe_chunk, args=(slow, first.job_id, 0))
    worker.start()
    assert is_asked.wait(30)
    for job in (first, second):  # also the same job's chunk, delivered twice
        with pytest.raises(WorkInFlight):
            transcribe_chunk(slow, job.job_id, 0)
    assert services.jobs.find_step(second.job_id, FIRST) is None  # nothing was begun, so nothing is counted
    may_answer.set()
    worker.join()
    assert transcribe_chunk(slow, second.job_id, 0) == "ok"
    assert len(calls) == 1
    assert step_of(services, second).savings is not None


def test_a_finished_chunk_whose_worker_died_before_saying_so_is_not_paid_again(
    services: Services, submit: Submit
) -> None:
    job = submit(cache="bypass")
    prepare_job(services, job.job_id)
    transcribe_chunk(services, job.job_id, 0)
    result = services.blobs.get_bytes(blob_paths.chunk_result(job.job_id, 0))
    services.jobs.forget_steps(job.job_id, [FIRST])
    services.jobs.begin_step(job.job_id, FIRST)
    assert transcribe_chunk(with_engines(services, scripted=fail_the_test), job.job_id, 0) == "ok"
    assert services.blobs.get_bytes(blob_paths.chunk_result(job.job_id, 0)) == result
    assert step_of(services, job).status == "ok"


def fail_the_test(_request: TranscriptionRequest) -> tuple[Word, ...]:
    raise AssertionError("The engine was asked again.")


def test_a_rate_limited_chunk_waits_as_long_as_it_was_told(services: Services, submit: Submit) -> None:
    def refuse(_request: TranscriptionRequest) -> tuple[Word, ...]:
        raise EngineRateLimited("Too many requests.", retry_after_s=17.0)

    job = submit()
    prepare_job(services, job.job_id)
    with pytest.raises(WorkPostponed) as postponed:
        transcribe_chunk(with_engines(services, scripted=refuse), job.job_id, 0)
    assert 17.0 <= (postponed.value.retry_after_s or 0) <= 18.0
    step = step_of(services, job)
    assert (step.attempts, step.waits, step.deliveries, step.reason) == (0, 1, 0, "Too many requests.")
    assert step.retry_at is not None
    assert 17.0 <= (step.retry_at - services.clock()).total_seconds() <= 18.0


def test_waiting_does_not_use_up_the_engines_attempts(services: Services, submit: Submit) -> None:
    errors = [EngineRateLimited("Busy.", retry_after_s=0.0)] * 5 + [EngineAnswerInvalid("Garbage.")]

    def fail_in_turn(request: TranscriptionRequest) -> tuple[Word, ...]:
        if errors:
            raise errors.pop(0)
        return speak(request)

    job = submit()
    prepare_job(services, job.job_id)
    assert try_until_over(with_engines(services, scripted=fail_in_turn), job) == "ok"


@pytest.mark.parametrize("error", [EngineRejected("No."), EngineUnavailable("Away."), EngineAnswerInvalid("Garbage.")])
def test_a_chunk_an_engine_fails_goes_to_the_next_one(services: Services, submit: Submit, error: Exception) -> None:
    def fail(_request: TranscriptionRequest) -> tuple[Word, ...]:
        raise error

    engines = with_engines(services, scripted=fail, second=speak)
    job = submit(fallback=("second",))
    prepare_job(engines, job.job_id)
    status = try_until_over(engines, job)
    assert status == "ok"
    step = step_of(services, job)
    assert step.engine == "second"
    assert [failure.engine for failure in step.failures] == ["scripted"]
    recognition = codec.load_recognition(services.blobs.get_bytes(blob_paths.chunk_result(job.job_id, 0)))
    assert recognition.words


def try_until_over(services: Services, job: Job, index: int = 0) -> str:
    for _ in range(20):
        try:
            return transcribe_chunk(services, job.job_id, index)
        except WorkPostponed:
            continue
    raise AssertionError("The chunk was never over.")


def test_when_every_engine_fails_the_gap_names_them_all(services: Services, submit: Submit) -> None:
    def refuse_first(request: TranscriptionRequest) -> tuple[Word, ...]:
        if "00000" in request.audio.name:
            raise EngineRejected("Too quiet.")
        return speak(request)

    engines = with_engines(services, scripted=refuse_first, second=refuse_first)
    job = submit(fallback=("second",), diarizer=None)
    prepare_job(engines, job.job_id)
    assert try_until_over(engines, job) == "gap"
    run_chunks(engines, job)
    finish_job(engines, job.job_id)
    (gap,) = transcript_of(services, job).coverage.gaps
    assert gap.engines == ("scripted", "second")
    assert gap.reason == "scripted: Too quiet. second: Too quiet."


def test_a_chunk_that_keeps_ending_its_worker_goes_to_the_next_engine(services: Services, submit: Submit) -> None:
    engines = with_engines(services, second=speak)
    job = submit(fallback=("second",))
    prepare_job(engines, job.job_id)
    for _ in range(services.limits.max_deliveries):
        services.jobs.begin_step(job.job_id, FIRST)
    assert try_until_over(engines, job) == "ok"
    step = step_of(services, job)
    assert step.engine == "second"
    assert "ended 3 times" in step.failures[0].reason


def test_a_hung_engine_is_given_up(services: Services, submit: Submit) -> None:
    engines = with_engines(services, second=speak)
    job = submit(fallback=("second",))
    prepare_job(engines, job.job_id)
    services.jobs.begin_step(job.job_id, FIRST)
    assert give_up_hung_engine(engines, job.job_id, FIRST, "It did not answer.")
    assert step_of(services, job).engine == "second"
    services.jobs.begin_step(job.job_id, FIRST)
    assert not give_up_hung_engine(engines, job.job_id, FIRST, "It did not answer either.")
    assert step_of(services, job).status == "failed"
    assert transcribe_chunk(engines, job.job_id, 0) == "gap"


def test_work_handed_back_is_not_counted_as_poison(services: Services, submit: Submit) -> None:
    def work(request: TranscriptionRequest) -> tuple[Word, ...]:
        request.checkpoint()
        return speak(request)

    job = submit()
    prepare_job(services, job.job_id)
    draining = replace(with_engines(services, scripted=work), is_draining=lambda: True)
    for _ in range(services.limits.max_deliveries + 1):
        with pytest.raises(WorkHandedBack):
            transcribe_chunk(draining, job.job_id, 0)
    assert transcribe_chunk(services, job.job_id, 0) == "ok"


def test_a_checkpoint_says_at_once_that_the_worker_has_to_stop(services: Services, submit: Submit) -> None:
    job = submit()
    make_checkpoint(services, job.job_id)()
    with pytest.raises(WorkHandedBack):
        make_checkpoint(replace(services, is_draining=lambda: True), job.job_id)()


def test_a_lane_passes_over_what_is_done(services: Services, submit: Submit, queue: object) -> None:
    job = submit()
    prepare_job(services, job.job_id)
    total = services.jobs.get(job.job_id).chunks_total or 0
    assert total >= 4
    transcribe_chunk(services, job.job_id, 1)
    begun = [lane.chunk for lane in queue.sent[-1][2].lanes]  # type: ignore[attr-defined]  # NotingQueue
    taken = iter(lambda: next_chunk(services, job.job_id, StepKind.TRANSCRIBE), None)
    assert sorted([*begun, *taken]) == [index for index in range(total) if index != 1 or index in begun]


def test_a_lane_of_a_cancelled_job_comes_to_its_end(services: Services, submit: Submit) -> None:
    job = submit()
    prepare_job(services, job.job_id)
    cancel_job(services, job.job_id)
    assert next_chunk(services, job.job_id, StepKind.TRANSCRIBE) is None


def test_a_chunk_lost_with_its_lane_is_sent_again(
    services: Services, submit: Submit, queue: object, clock: object
) -> None:
    job = submit(diarizer=None)
    prepare_job(services, job.job_id)
    for lane in queue.sent[-1][2].lanes:  # type: ignore[attr-defined]  # NotingQueue
        transcribe_chunk(services, job.job_id, lane.chunk)
    lost = next_chunk(services, job.job_id, StepKind.TRANSCRIBE)
    while (chunk := next_chunk(services, job.job_id, StepKind.TRANSCRIBE)) is not None:
        transcribe_chunk(services, job.job_id, chunk)
    finish_job(services, job.job_id)
    assert services.jobs.get(job.job_id).status is JobStatus.PROCESSING
    clock.now += timedelta(minutes=2)  # type: ignore[attr-defined]  # Clock
    sweep_jobs(services)
    assert [lane.chunk for lane in queue.sent[-1][2].lanes] == [lost]  # type: ignore[attr-defined]  # NotingQueue


def test_a_join_that_comes_too_early_waits_for_the_pieces(services: Services, submit: Submit) -> None:
    job = submit()
    prepare_job(services, job.job_id)
    transcribe_chunk(services, job.job_id, 0)
    finish_job(services, job.job_id)
    assert services.jobs.get(job.job_id).status is JobStatus.PROCESSING


def test_a_job_whose_joiner_died_behind_the_join_is_concluded(services: Services, submit: Submit) -> None:
    job = submit(diarizer=None)
    prepare_job(services, job.job_id)
    run_chunks(services, job)
    finish_job(services, job.job_id)
    stored = services.blobs.get_bytes(blob_paths.transcript(job.job_id))
    succeeded = services.jobs.get(job.job_id)
    other = submit(cache="bypass", diarizer=None)
    prepare_job(services, other.job_id)
    services.blobs.put_bytes(blob_paths.transcript(other.job_id), stored)
    services.jobs.advance(other.job_id, JobStatus.JOINING)
    join = Step(other.job_id, StepKind.JOIN, 0, "ok", 1, services.clock(), services.clock())
    services.jobs.finish_step(join)
    finish_job(services, other.job_id)
    assert services.jobs.get(other.job_id).status is succeeded.status


def refuse_once(calls: list[str]) -> Callable[[TranscriptionRequest], tuple[Word, ...]]:
    """Refuses the first chunk the first time it is asked for it."""

    def script(request: TranscriptionRequest) -> tuple[Word, ...]:
        calls.append(request.audio.name)
        if "00000" in request.audio.name and calls.count(request.audio.name) == 1:
            raise EngineRejected("Not now.")
        return speak(request)

    return script


def test_a_retry_does_only_what_is_missing(services: Services, submit: Submit, queue: object) -> None:
    calls: list[str] = []
    engines = with_engines(services, scripted=refuse_once(calls))
    job = submit(diarizer=None)
    prepare_job(engines, job.job_id)
    statuses = run_chunks(engines, job)
    finish_job(engines, job.job_id)
    assert services.jobs.get(job.job_id).status is JobStatus.PARTIAL
    paid = len(calls)

    retried = retry_job(engines, job.job_id)
    assert retried.status is JobStatus.QUEUED
    assert retried.restarted_at is not None
    assert retried.finished_at is None
    prepare_job(engines, job.job_id)
    assert queue.sent[-1] == ("fan_out", job.job_id, FanOut((Lane(StepKind.TRANSCRIBE, 0),)))  # type: ignore[attr-defined]  # NotingQueue
    assert transcribe_chunk(engines, job.job_id, 0) == "ok"
    finish_job(engines, job.job_id)
    assert services.jobs.get(job.job_id).status is JobStatus.SUCCEEDED
    assert len(calls) == paid + 1
    assert len(statuses) > 2
    assert transcript_of(services, job).coverage.gaps == ()


def test_a_job_that_may_have_no_gap_fails_and_can_be_retried(services: Services, submit: Submit) -> None:
    engines = with_engines(services, scripted=refuse_once([]))
    job = submit(diarizer=None, on_gap="fail")
    prepare_job(engines, job.job_id)
    run_chunks(engines, job)
    finish_job(engines, job.job_id)
    failed = services.jobs.get(job.job_id)
    assert failed.status is JobStatus.FAILED
    assert failed.failure is not None
    assert failed.failure.code == "gaps_left"
    assert "Not now." in failed.failure.message
    retry_job(engines, job.job_id)
    prepare_job(engines, job.job_id)
    run_chunks(engines, job)
    finish_job(engines, job.job_id)
    assert services.jobs.get(job.job_id).status is JobStatus.SUCCEEDED


def test_a_failed_diarization_alone_is_no_gap(services: Services, submit: Submit) -> None:
    def refuse(_request: DiarizationRequest) -> tuple[Turn, ...]:
        raise EngineRejected("Too many voices.")

    mute = replace(services, diarizers={"scripted": ScriptedDiarizer(refuse)})
    job = submit(on_gap="fail")
    prepare_job(mute, job.job_id)
    run_chunks(mute, job)
    assert diarize_job(mute, job.job_id) == "gap"
    finish_job(mute, job.job_id)
    assert services.jobs.get(job.job_id).status is JobStatus.SUCCEEDED
    # And can be tried again, without paying for a chunk a second time.
    services.cache.delete_job(job.job_id)
    healthy = with_engines(services, scripted=fail_the_test)
    retry_job(healthy, job.job_id)
    prepare_job(healthy, job.job_id)
    assert diarize_job(healthy, job.job_id) == "ok"
    finish_job(healthy, job.job_id)
    assert transcript_of(services, job).speakers


def test_a_cancelled_job_goes_on_where_it_stood(services: Services, submit: Submit) -> None:
    job = submit(diarizer=None, cache="bypass")
    prepare_job(services, job.job_id)
    transcribe_chunk(services, job.job_id, 0)
    cancel_job(services, job.job_id)
    retry_job(services, job.job_id)
    prepare_job(services, job.job_id)
    calls: list[str] = []

    def note(request: TranscriptionRequest) -> tuple[Word, ...]:
        calls.append(request.audio.name)
        return speak(request)

    run_chunks(with_engines(services, scripted=note), job)
    assert "00000.flac" not in calls
    finish_job(services, job.job_id)
    assert services.jobs.get(job.job_id).status is JobStatus.SUCCEEDED


def test_what_is_at_work_or_whole_is_not_retried(services: Services, submit: Submit) -> None:
    job = submit(diarizer=None)
    with pytest.raises(JobConflict, match="queued"):
        retry_job(services, job.job_id)
    prepare_job(services, job.job_id)
    run_chunks(services, job)
    finish_job(services, job.job_id)
    with pytest.raises(JobConflict, match="nothing is missing"):
        retry_job(services, job.job_id)


def test_a_retried_jobs_deadline_begins_anew(services: Services, submit: Submit, clock: object) -> None:
    job = submit(deadline_s=60.0)
    clock.now += timedelta(seconds=61)  # type: ignore[attr-defined]  # Clock
    assert sweep_jobs(services) == 1
    failed = services.jobs.get(job.job_id)
    assert failed.failure is not None
    assert failed.failure.code == "deadline_exceeded"
    retry_job(services, job.job_id)
    (diagnosis,) = examine_jobs(services)
    assert diagnosis.action != "fail"


@pytest.mark.parametrize("tells_its_length", [True, False])
def test_a_long_recording_is_passed_to_the_workers_for_long_work(
    services: Services, submit: Submit, queue: object, tmp_path: Path, *, tells_its_length: bool
) -> None:
    small = replace(services, limits=replace(services.limits, long_s=30.0))
    if tells_its_length:
        # The header is enough: one second of it could be decoded.
        small = replace(small, decoder=replace(small.decoder, max_duration_s=1.0))
        job = submit()
    else:
        piped = tmp_path / "piped.wav"
        command = [services.decoder.program, "-v", "error", "-i", SAMPLE, "-f", "wav", "pipe:1"]
        piped.write_bytes(subprocess.check_output(command))
        job = submit(piped)
    prepare_job(small, job.job_id)
    assert queue.sent[-1] == ("prepare_long", job.job_id)  # type: ignore[attr-defined]  # NotingQueue
    assert step_of(services, job, Piece(StepKind.PREPARE)).deliveries == 0
    prepare_job(replace(small, decoder=services.decoder), job.job_id, is_long=True)
    name, _, fan_out = queue.sent[-1]  # type: ignore[attr-defined]  # NotingQueue
    assert name == "fan_out"
    assert fan_out.is_long
    assert len(fan_out.lanes) == 2


def test_a_tenants_further_jobs_wait_until_one_is_over(
    services: Services, submit: Submit, queue: object, clock: object
) -> None:
    narrow = replace(services, limits=replace(services.limits, tenant_jobs=1))
    jobs = []
    for speakers in range(1, 4):
        jobs.append(submit(num_speakers=speakers))
        clock.now += timedelta(seconds=1)  # type: ignore[attr-defined]  # Clock
    first, second, third = jobs
    prepare_job(narrow, first.job_id)
    for job in (second, third):
        prepare_job(narrow, job.job_id)
        assert services.jobs.get(job.job_id).status is JobStatus.QUEUED
    queue.sent.clear()  # type: ignore[attr-defined]  # NotingQueue
    cancel_job(narrow, first.job_id)
    assert queue.sent == [("prepare", second.job_id)]  # type: ignore[attr-defined]  # NotingQueue


def test_the_sweeper_knows_who_waits_and_starts_only_what_there_is_room_for(
    services: Services, submit: Submit, queue: object, clock: object
) -> None:
    narrow = replace(services, limits=replace(services.limits, tenant_jobs=1))
    first = submit()
    clock.now += timedelta(seconds=1)  # type: ignore[attr-defined]  # Clock
    second = submit(num_speakers=1)
    clock.now += timedelta(seconds=600)  # type: ignore[attr-defined]  # Clock
    queue.sent.clear()  # type: ignore[attr-defined]  # NotingQueue
    assert [diagnosis.action for diagnosis in examine_jobs(narrow)] == ["resend", "wait"]
    assert queue.sent == []  # type: ignore[attr-defined]  # NotingQueue
    assert sweep_jobs(narrow) == 1
    assert queue.sent == [("prepare", first.job_id)]  # type: ignore[attr-defined]  # NotingQueue
    assert services.jobs.get(second.job_id).status is JobStatus.QUEUED


def test_of_two_sweepers_one_sends_a_job(services: Services, submit: Submit, queue: object, clock: object) -> None:
    submit()
    clock.now += timedelta(seconds=600)  # type: ignore[attr-defined]  # Clock
    queue.sent.clear()  # type: ignore[attr-defined]  # NotingQueue
    seen = next(iter(services.jobs.unfinished()))
    assert sweep_jobs(services) == 1
    assert not services.jobs.claim(seen)
    assert len(queue.sent) == 1  # type: ignore[attr-defined]  # NotingQueue


def test_a_job_whose_plan_vanished_is_prepared_again(services: Services, submit: Submit) -> None:
    job = submit(diarizer=None, cache="bypass")
    prepare_job(services, job.job_id)
    services.blobs.delete_tree(blob_paths.plan(job.job_id))
    prepare_job(services, job.job_id)
    assert services.blobs.exists(blob_paths.plan(job.job_id))


def test_a_vanished_chunk_is_cut_anew(services: Services, submit: Submit) -> None:
    job = submit(diarizer=None, cache="bypass")
    prepare_job(services, job.job_id)
    path = blob_paths.chunk_audio(job.job_id, 0, "flac")
    with services.blobs.local_copy(path) as audio:
        original = audio.read_bytes()
    services.blobs.delete_tree(path)
    heard: list[bytes] = []

    def listen(request: TranscriptionRequest) -> tuple[Word, ...]:
        heard.append(request.audio.read_bytes())
        return speak(request)

    assert transcribe_chunk(with_engines(services, scripted=listen), job.job_id, 0) == "ok"
    assert heard == [original]


def test_a_chunk_without_any_audio_left_is_a_gap_that_says_so(services: Services, submit: Submit) -> None:
    job = submit(diarizer=None, cache="bypass")
    prepare_job(services, job.job_id)
    services.blobs.delete_tree(blob_paths.chunk_audio(job.job_id, 0, "flac"))
    services.blobs.delete_tree(blob_paths.canonical_audio(job.job_id))
    assert transcribe_chunk(services, job.job_id, 0) == "gap"
    assert "does not exist" in (step_of(services, job).reason or "")


def test_a_vanished_result_is_transcribed_again(services: Services, submit: Submit) -> None:
    job = submit(diarizer=None, cache="bypass")
    prepare_job(services, job.job_id)
    transcribe_chunk(services, job.job_id, 0)
    services.blobs.delete_tree(blob_paths.chunk_result(job.job_id, 0))
    services.cache.delete_job(job.job_id)
    assert transcribe_chunk(services, job.job_id, 0) == "ok"
    assert services.blobs.exists(blob_paths.chunk_result(job.job_id, 0))
