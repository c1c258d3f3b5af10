"""Vendors' jobs of jobs that are over, over Replicate's protocol on loopback."""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest

from erni.errors import WorkPostponed
from erni.jobs import Job, JobFailure, JobStatus, RemoteStop, Step
from erni.services import Services
from erni.steps.diarizing import diarize_job
from erni.steps.ending import cancel_job, delete_job, fail_job
from erni.steps.one_shot import listen_in_one_shot
from erni.steps.pieces import ONE_SHOT
from erni.steps.preparing import prepare_job
from erni.steps.restarting import retry_job
from erni.steps.stopping import stop_remote_job
from vendors.faults import Fault
from vendors.pyannote import PyannoteVendor
from vendors.replicate import ReplicateVendor

Submit = Callable[..., Job]


def begin(services: Services, submit: Submit, **options: object) -> Job:
    """A job that waits for its prediction."""
    job = submit(method="replicate", engine="replicate/whisper-diarization", **options)
    prepare_job(services, job.job_id)
    listen_in_vain(services, job)
    return job


def listen_in_vain(services: Services, job: Job) -> None:
    with pytest.raises(WorkPostponed):
        listen_in_one_shot(services, job.job_id)


def step_of(services: Services, job: Job) -> Step:
    step = services.jobs.find_step(job.job_id, ONE_SHOT)
    assert step is not None
    return step


def stops(queue: object) -> list[RemoteStop]:
    """What workers were told to stop."""
    return [message[1] for message in queue.sent if message[0] == "stop"]  # type: ignore[attr-defined]  # NotingQueue


def follow(services: Services, queue: object) -> RemoteStop:
    """Do what a worker does with the only message, until the first look after it."""
    [stop] = stops(queue)
    with pytest.raises(WorkPostponed):
        stop_remote_job(services, stop)
    return stop


@pytest.fixture(autouse=True)
def slow(replicate: ReplicateVendor) -> None:
    """Predictions take long enough to be stopped, and no longer than a test may wait for what does not stop."""
    replicate.jobs.pace_s = 3.0


def test_cancelling_a_job_stops_its_prediction_and_books_the_time_it_ran(
    remote: Services, submit: Submit, replicate: ReplicateVendor, queue: object
) -> None:
    job = begin(remote, submit)
    time.sleep(0.1)
    cancel_job(remote, job.job_id)
    stop = follow(remote, queue)
    [prediction] = replicate.jobs.all()
    assert prediction.status == "canceled"
    assert not remote.cache.has(f"{stop.key}:remote"), "nobody is to wait for it"
    stop_remote_job(remote, stop)
    assert prediction.started_at is not None
    assert prediction.ended_at is not None
    ran_s = (prediction.ended_at - prediction.started_at).total_seconds()
    assert remote.ledger.spent_by_job(job.job_id) == pytest.approx(0.001 * ran_s)
    assert replicate.faults.billed == ()


def test_deleting_or_failing_a_job_stops_its_prediction(
    remote: Services, submit: Submit, replicate: ReplicateVendor, queue: object
) -> None:
    deleted, failed = begin(remote, submit), begin(remote, submit, prompt="another")
    delete_job(remote, deleted.job_id)
    fail_job(remote, failed.job_id, JobFailure("deadline_exceeded", "It took too long."))
    for stop in stops(queue):
        with pytest.raises(WorkPostponed):
            stop_remote_job(remote, stop)
        stop_remote_job(remote, stop)
    assert {prediction.status for prediction in replicate.jobs.all()} == {"canceled"}
    assert len(replicate.jobs.all()) == 2
    for job in (deleted, failed):
        assert remote.ledger.spent_by_job(job.job_id) < 0.01


def test_a_prediction_that_another_job_waits_for_goes_on_and_is_booked_in_the_end(
    remote: Services, submit: Submit, replicate: ReplicateVendor, queue: object
) -> None:
    replicate.jobs.pace_s = 0.5
    payer, other = begin(remote, submit), begin(remote, submit)
    cancel_job(remote, payer.job_id)
    stop = follow(remote, queue)
    while replicate.jobs.all()[0].ended_at is None:
        time.sleep(0.01)
    assert listen_in_one_shot(remote, other.job_id) == "ok"
    stop_remote_job(remote, stop)
    assert len(replicate.faults.billed) == 1
    assert 0 < remote.ledger.spent_by_job(payer.job_id) < 0.01


def test_a_job_tried_again_keeps_the_prediction_it_adopted(
    remote: Services, submit: Submit, replicate: ReplicateVendor, queue: object
) -> None:
    job = begin(remote, submit)
    remote_id = step_of(remote, job).remote_id
    cancel_job(remote, job.job_id)
    retry_job(remote, job.job_id)
    prepare_job(remote, job.job_id)
    listen_in_vain(remote, job)
    assert step_of(remote, job).remote_id == remote_id
    follow(remote, queue)
    assert replicate.jobs.all()[0].ended_at is None


def test_a_job_tried_again_after_the_stop_has_a_prediction_of_its_own(
    remote: Services, submit: Submit, replicate: ReplicateVendor, queue: object
) -> None:
    job = begin(remote, submit)
    cancel_job(remote, job.job_id)
    stop = follow(remote, queue)
    retry_job(remote, job.job_id)
    prepare_job(remote, job.job_id)
    listen_in_vain(remote, job)
    assert step_of(remote, job).remote_id not in {None, stop.remote_id}


def test_a_vendor_or_a_broker_that_is_away_hinders_no_cancelling(
    remote: Services, submit: Submit, replicate: ReplicateVendor, queue: object, clock: object
) -> None:
    job, unsent = begin(remote, submit), begin(remote, submit, prompt="another")
    cancel_job(remote, job.job_id)
    replicate.faults.order(Fault(status=503, path="/v1/predictions"), 2)
    stop = follow(remote, queue)
    clock.now += timedelta(seconds=remote.limits.remote.longest_s + 1)  # type: ignore[attr-defined]  # Clock
    stop_remote_job(remote, stop)
    queue.is_away = True  # type: ignore[attr-defined]  # NotingQueue
    assert cancel_job(remote, unsent.job_id).status is JobStatus.CANCELLED


def test_a_job_cancelled_while_it_was_submitted_is_stopped_by_who_submitted_it(
    remote: Services, submit: Submit, replicate: ReplicateVendor, queue: object
) -> None:
    """Who cancels it cannot know the vendor's id yet."""
    replicate.faults.order(Fault("delay", delay_s=0.7, path="/v1/predictions", methods=("POST",)))
    job = submit(method="replicate", engine="replicate/whisper-diarization")
    prepare_job(remote, job.job_id)
    with ThreadPoolExecutor() as pool:
        submitting = pool.submit(listen_in_vain, remote, job)
        while (step := remote.jobs.find_step(job.job_id, ONE_SHOT)) is None or step.submitted_at is None:
            time.sleep(0.01)
        cancel_job(remote, job.job_id)
        assert stops(queue) == []
        submitting.result()
    assert follow(remote, queue).remote_id == replicate.jobs.all()[0].job_id
    assert replicate.jobs.all()[0].status == "canceled"


def test_a_job_of_pyannote_cannot_be_stopped(
    remote: Services, submit: Submit, pyannote: PyannoteVendor, queue: object
) -> None:
    job = submit(diarizer="pyannote/precision-2")
    prepare_job(remote, job.job_id)
    with pytest.raises(WorkPostponed):
        diarize_job(remote, job.job_id)
    cancel_job(remote, job.job_id)
    assert stops(queue) == []
