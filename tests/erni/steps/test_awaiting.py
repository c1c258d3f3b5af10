"""Pieces done by a vendor's own job, over pyannote.ai's and Replicate's protocols on loopback."""

from __future__ import annotations

import base64
import time
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta

import numpy as np
import pytest

from erni import blob_paths, codec
from erni.errors import WorkPostponed
from erni.jobs import Job, JobStatus, Piece, Step, StepKind
from erni.services import RemoteLimits, Services
from erni.speaker_voices import dump_speaker_voices, sole_voice
from erni.steps.diarizing import diarize_job
from erni.steps.finishing import finish_job
from erni.steps.one_shot import listen_in_one_shot
from erni.steps.pieces import DIARIZATION, ONE_SHOT, load_plan
from erni.steps.preparing import prepare_job
from erni.steps.recognising import transcribe_chunk
from erni.steps.waking import find_waiting, join_if_complete, wake_piece
from erni.voiceprints import Voiceprint
from erni.voices import Voices
from vendors.faults import Fault
from vendors.pyannote import PyannoteVendor
from vendors.replicate import ReplicateVendor

Submit = Callable[..., Job]

PYANNOTE = "pyannote/precision-2"
REPLICATE = "replicate/whisper-diarization"
POLL_S = 5.0


def begin(services: Services, submit: Submit, **options: object) -> Job:
    job = submit(diarizer=PYANNOTE, **options)
    prepare_job(services, job.job_id)
    return job


def step_of(services: Services, job: Job, piece: Piece = DIARIZATION) -> Step:
    step = services.jobs.find_step(job.job_id, piece)
    assert step is not None
    return step


def wait_for_vendor(vendor: PyannoteVendor | ReplicateVendor) -> None:
    deadline = time.monotonic() + 10
    while any(job.ended_at is None for job in vendor.jobs.all()):
        assert time.monotonic() < deadline
        time.sleep(0.01)


def diarize(services: Services, job: Job, vendor: PyannoteVendor) -> str:
    """Submit, wait for the vendor, collect."""
    with pytest.raises(WorkPostponed):
        diarize_job(services, job.job_id)
    wait_for_vendor(vendor)
    return diarize_job(services, job.job_id)


def finish(services: Services, job: Job) -> Job:
    for chunk in load_plan(services, job.job_id).chunks:
        transcribe_chunk(services, job.job_id, chunk.index)
    finish_job(services, job.job_id)
    return services.jobs.get(job.job_id)


def test_between_two_looks_a_vendors_job_is_a_record_and_a_countdown(
    remote: Services, submit: Submit, pyannote: PyannoteVendor
) -> None:
    pyannote.jobs.pace_s = 0.5
    job = begin(remote, submit)
    with pytest.raises(WorkPostponed) as first:
        diarize_job(remote, job.job_id)
    with pytest.raises(WorkPostponed) as second:
        diarize_job(remote, job.job_id)
    assert first.value.retry_after_s == second.value.retry_after_s == POLL_S
    waiting = step_of(remote, job)
    assert (waiting.remote_id, waiting.deliveries) == (pyannote.jobs.all()[0].job_id, 0)
    assert waiting.retry_at == remote.clock() + timedelta(seconds=POLL_S)
    wait_for_vendor(pyannote)
    assert diarize_job(remote, job.job_id) == "ok"
    assert len(pyannote.faults.billed) == 1
    assert finish(remote, job).status is JobStatus.SUCCEEDED


def test_a_call_to_a_vendor_is_on_the_ledger_once(remote: Services, submit: Submit, pyannote: PyannoteVendor) -> None:
    job = begin(remote, submit)
    diarize(remote, job, pyannote)
    expected = 0.002 * load_plan(remote, job.job_id).duration_s / 60
    assert remote.ledger.spent_by_job(job.job_id) == pytest.approx(expected)


def test_a_job_that_failed_over_there_goes_to_the_next_diarizer_and_costs_nothing(
    remote: Services, submit: Submit, pyannote: PyannoteVendor
) -> None:
    pyannote.jobs.order_end("failed", "Could not load audio")
    job = begin(remote, submit, diarizer_fallback=("scripted",))
    with pytest.raises(WorkPostponed):
        diarize(remote, job, pyannote)
    assert diarize_job(remote, job.job_id) == "ok"
    step = step_of(remote, job)
    assert step.engine == "scripted"
    assert [failure.engine for failure in step.failures] == [PYANNOTE]
    assert "Could not load audio" in step.failures[0].reason
    assert remote.ledger.spent_by_job(job.job_id) == 0.0


def test_a_vendor_that_is_out_while_its_job_runs_costs_time_only(
    remote: Services, submit: Submit, pyannote: PyannoteVendor
) -> None:
    job = begin(remote, submit)
    with pytest.raises(WorkPostponed):
        diarize_job(remote, job.job_id)
    wait_for_vendor(pyannote)
    pyannote.faults.order(Fault(status=503, path="/v1/jobs"), 20)
    for _ in range(20):
        with pytest.raises(WorkPostponed):
            diarize_job(remote, job.job_id)
    assert step_of(remote, job).attempts == 0
    assert diarize_job(remote, job.job_id) == "ok"
    assert len(pyannote.faults.billed) == 1


def test_an_answer_that_was_thrown_away_is_asked_for_anew(
    remote: Services, submit: Submit, pyannote: PyannoteVendor
) -> None:
    job = begin(remote, submit)
    pyannote.jobs.retention_s = 0.0
    with pytest.raises(WorkPostponed):
        diarize(remote, job, pyannote)
    assert step_of(remote, job).remote_id is None
    pyannote.jobs.retention_s = 60.0
    assert diarize(remote, job, pyannote) == "ok"
    assert len(pyannote.jobs.all()) == 2


def test_equal_recordings_wait_for_one_job_of_the_vendor(
    remote: Services, submit: Submit, pyannote: PyannoteVendor
) -> None:
    pyannote.jobs.pace_s = 0.3
    first, second = begin(remote, submit), begin(remote, submit)
    for job in (first, second):
        with pytest.raises(WorkPostponed):
            diarize_job(remote, job.job_id)
    wait_for_vendor(pyannote)
    remote_id = step_of(remote, first).remote_id or ""
    waiting = find_waiting(remote, "pyannote", remote_id)
    assert sorted(waiting) == sorted([(first.job_id, DIARIZATION), (second.job_id, DIARIZATION)])
    assert [diarize_job(remote, job.job_id) for job in (first, second)] == ["ok", "ok"]
    assert len(pyannote.faults.billed) == 1


def test_a_job_that_takes_too_long_is_given_up(
    remote: Services, submit: Submit, pyannote: PyannoteVendor, clock: object
) -> None:
    pyannote.jobs.pace_s = 30.0
    job = begin(remote, submit)
    with pytest.raises(WorkPostponed):
        diarize_job(remote, job.job_id)
    clock.now += timedelta(seconds=remote.limits.remote.longest_s + 1)  # type: ignore[attr-defined]  # Clock
    assert diarize_job(remote, job.job_id) == "gap"
    assert "did not end its job" in (step_of(remote, job).reason or "")


def test_a_vendor_that_will_call_is_looked_at_less_often_and_told_where(
    remote: Services, submit: Submit, pyannote: PyannoteVendor
) -> None:
    called = RemoteLimits(
        poll_s={"pyannote": POLL_S},
        awaited_poll_s=77.0,
        public_url="https://erni.example/",
        signing=frozenset({"pyannote"}),
    )
    remote = replace(remote, limits=replace(remote.limits, remote=called))
    pyannote.webhooks.is_losing = True
    job = begin(remote, submit)
    with pytest.raises(WorkPostponed) as waiting:
        diarize_job(remote, job.job_id)
    assert waiting.value.retry_after_s == 77.0
    asked = pyannote.jobs.all()[0].asked["webhook"]
    assert asked == f"https://erni.example/v1/hooks/pyannote?job={job.job_id}&piece=diarize.0"
    wait_for_vendor(pyannote)
    assert diarize_job(remote, job.job_id) == "ok"
    polled = begin(remote, submit, completion="poll", cache="bypass")
    with pytest.raises(WorkPostponed) as waiting:
        diarize_job(remote, polled.job_id)
    assert waiting.value.retry_after_s == POLL_S
    assert "webhook" not in pyannote.jobs.all()[0].asked


def test_whoever_ends_last_sends_the_join_of_a_job_woken_by_its_vendor(
    remote: Services, submit: Submit, pyannote: PyannoteVendor, queue: object
) -> None:
    job = begin(remote, submit)
    with pytest.raises(WorkPostponed):
        diarize_job(remote, job.job_id)
    remote_id = step_of(remote, job).remote_id or ""
    assert find_waiting(remote, "pyannote", remote_id) == [(job.job_id, DIARIZATION)]
    assert find_waiting(remote, "replicate", remote_id) == []
    wait_for_vendor(pyannote)
    wake_piece(remote, job.job_id, DIARIZATION)
    assert step_of(remote, job).status == "ok"
    assert find_waiting(remote, "pyannote", remote_id) == []
    sent = queue.sent  # type: ignore[attr-defined]  # NotingQueue
    assert ("finish", job.job_id) not in sent
    for chunk in load_plan(remote, job.job_id).chunks:
        join_if_complete(remote, job.job_id)
        assert ("finish", job.job_id) not in sent
        transcribe_chunk(remote, job.job_id, chunk.index)
    join_if_complete(remote, job.job_id)
    assert sent[-1] == ("finish", job.job_id)


def test_who_is_woken_too_early_changes_nothing(
    remote: Services, submit: Submit, pyannote: PyannoteVendor, queue: object
) -> None:
    pyannote.jobs.pace_s = 0.5
    job = begin(remote, submit)
    with pytest.raises(WorkPostponed):
        diarize_job(remote, job.job_id)
    sent = list(queue.sent)  # type: ignore[attr-defined]  # NotingQueue
    wake_piece(remote, job.job_id, DIARIZATION)
    assert queue.sent == sent  # type: ignore[attr-defined]  # NotingQueue
    assert not step_of(remote, job).is_over


def begin_one_shot(services: Services, submit: Submit, **options: object) -> Job:
    job = submit(method="replicate", engine=REPLICATE, **options)
    prepare_job(services, job.job_id)
    return job


def test_one_shot_gives_words_and_speakers(
    remote: Services, submit: Submit, replicate: ReplicateVendor, queue: object
) -> None:
    job = begin_one_shot(remote, submit)
    assert queue.sent[-1][2].whole == (ONE_SHOT,)  # type: ignore[attr-defined]  # NotingQueue
    assert not queue.sent[-1][2].lanes  # type: ignore[attr-defined]  # NotingQueue
    with pytest.raises(WorkPostponed):
        listen_in_one_shot(remote, job.job_id)
    wait_for_vendor(replicate)
    assert listen_in_one_shot(remote, job.job_id) == "ok"
    finish_job(remote, job.job_id)
    assert remote.jobs.get(job.job_id).status is JobStatus.SUCCEEDED
    transcript = codec.load_transcript(remote.blobs.get_bytes(blob_paths.transcript(job.job_id)))
    assert transcript.speakers == ("speaker_1", "speaker_2")
    assert [(use.engine, use.given_up) for use in transcript.pieces] == [(REPLICATE, ())]


def test_one_shot_gives_speakers_also_where_no_diarizer_is_set_up(
    remote: Services, submit: Submit, replicate: ReplicateVendor
) -> None:
    job = begin_one_shot(remote, submit, diarizer=None)
    with pytest.raises(WorkPostponed):
        listen_in_one_shot(remote, job.job_id)
    wait_for_vendor(replicate)
    listen_in_one_shot(remote, job.job_id)
    finish_job(remote, job.job_id)
    transcript = codec.load_transcript(remote.blobs.get_bytes(blob_paths.transcript(job.job_id)))
    assert transcript.speakers == ("speaker_1", "speaker_2")


def test_an_answer_lost_on_its_way_is_found_again_and_not_paid_twice(
    remote: Services, submit: Submit, replicate: ReplicateVendor
) -> None:
    """The prediction is made, but the connection is cut before its id is told."""
    replicate.faults.order(Fault("lost", path="/v1/predictions", methods=("POST",)))
    job = begin_one_shot(remote, submit)
    with pytest.raises(WorkPostponed):
        listen_in_one_shot(remote, job.job_id)
    assert step_of(remote, job, ONE_SHOT).remote_id is None
    with pytest.raises(WorkPostponed):
        listen_in_one_shot(remote, job.job_id)
    wait_for_vendor(replicate)
    assert listen_in_one_shot(remote, job.job_id) == "ok"
    assert len(replicate.faults.billed) == 1


def test_a_recording_that_one_engine_cannot_do_is_cut_for_the_others(
    remote: Services, submit: Submit, replicate: ReplicateVendor, queue: object
) -> None:
    replicate.jobs.order_end("failed", "CUDA out of memory")
    job = begin_one_shot(remote, submit, fallback=("scripted",), diarizer="scripted")
    with pytest.raises(WorkPostponed):
        listen_in_one_shot(remote, job.job_id)
    wait_for_vendor(replicate)
    assert listen_in_one_shot(remote, job.job_id) == "gap"
    finish_job(remote, job.job_id)
    assert remote.jobs.get(job.job_id).status is JobStatus.PROCESSING
    fan_out = queue.sent[-1][2]  # type: ignore[attr-defined]  # NotingQueue
    assert fan_out.whole == (DIARIZATION,)
    assert {lane.kind for lane in fan_out.lanes} == {StepKind.TRANSCRIBE}
    assert diarize_job(remote, job.job_id) == "ok"
    done = finish(remote, job)
    assert done.status is JobStatus.SUCCEEDED
    assert [warning.code for warning in done.warnings] == ["one_shot_failed"]
    assert "CUDA out of memory" in done.warnings[0].message


def test_without_another_engine_the_one_shots_failure_is_the_jobs(
    remote: Services, submit: Submit, replicate: ReplicateVendor
) -> None:
    replicate.jobs.order_end("canceled")
    job = begin_one_shot(remote, submit)
    with pytest.raises(WorkPostponed):
        listen_in_one_shot(remote, job.job_id)
    wait_for_vendor(replicate)
    assert listen_in_one_shot(remote, job.job_id) == "gap"
    finish_job(remote, job.job_id)
    failed = remote.jobs.get(job.job_id)
    assert failed.status is JobStatus.FAILED
    assert failed.failure is not None
    assert failed.failure.code == "nothing_transcribed"


def enrol(services: Services, number: int, voice: Voices) -> str:
    """A known voice as pyannote.ai's stand-in would have made it."""
    voiceprint_id = f"{number:032x}"
    voiceprints = services.voiceprints
    voiceprints.add(Voiceprint(voiceprint_id, "acme", f"voice {number}", "yes", "ready", services.clock()))
    voiceprints.put_print(voiceprint_id, PYANNOTE, base64.b64encode(dump_speaker_voices(sole_voice(voice))))
    return voiceprint_id


def test_more_known_voices_than_one_call_takes_are_looked_for_in_several(
    remote: Services, submit: Submit, pyannote: PyannoteVendor, queue: object
) -> None:
    """The voice that is heard is the last of sixty: in the second group."""
    rows = np.roll(np.eye(1, 64, dtype=np.float32), 1, axis=1).repeat(9, axis=0)
    windows = np.stack([np.arange(9.0), np.arange(9.0) + 1], axis=1)
    stranger = Voices("scripted", "script", windows, rows)
    heard = Voices("scripted", "script", windows, np.roll(rows, -1, axis=1))
    voices = [enrol(remote, number, stranger) for number in range(59)] + [enrol(remote, 59, heard)]
    job = begin(remote, submit, method="voiceprint", voiceprints=tuple(voices))
    second = Piece(StepKind.DIARIZE, 1)
    assert queue.sent[-1][2].whole == (DIARIZATION, second)  # type: ignore[attr-defined]  # NotingQueue
    for group in (0, 1):
        with pytest.raises(WorkPostponed):
            diarize_job(remote, job.job_id, group)
    wait_for_vendor(pyannote)
    assert [diarize_job(remote, job.job_id, group) for group in (0, 1)] == ["ok", "ok"]
    assert sorted(len(asked.asked["voiceprints"]) for asked in pyannote.jobs.all()) == [10, 50]
    assert finish(remote, job).status is JobStatus.SUCCEEDED
    transcript = codec.load_transcript(remote.blobs.get_bytes(blob_paths.transcript(job.job_id)))
    assert sorted(name.name or "" for name in transcript.names) == ["", "voice 59"]


def test_voices_that_could_not_be_looked_for_are_said(
    remote: Services, submit: Submit, pyannote: PyannoteVendor
) -> None:
    windows = np.array([[0.0, 1.0]])
    voice = Voices("scripted", "script", windows, np.eye(1, 64, dtype=np.float32))
    voices = tuple(enrol(remote, number, voice) for number in range(51))
    job = begin(remote, submit, method="voiceprint", voiceprints=voices)
    diarize(remote, job, pyannote)
    pyannote.jobs.order_end("failed", "Could not load audio")
    with pytest.raises(WorkPostponed):
        diarize_job(remote, job.job_id, 1)
    wait_for_vendor(pyannote)
    assert diarize_job(remote, job.job_id, 1) == "gap"
    done = finish(remote, job)
    assert done.status is JobStatus.SUCCEEDED
    assert [warning.code for warning in done.warnings] == ["voices_not_compared"]
