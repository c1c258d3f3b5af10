"""What goes wrong while a vendor's job is submitted and waited for, over the vendors' protocols on loopback."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta

import pytest

from erni.errors import WorkPostponed
from erni.jobs import Job, Piece, Step
from erni.retrying import LONGEST_RETRY_AFTER_S
from erni.services import Services
from erni.steps.diarizing import diarize_job
from erni.steps.one_shot import listen_in_one_shot
from erni.steps.pieces import DIARIZATION
from erni.steps.preparing import prepare_job
from erni.steps.waking import note_submitted, wake_piece
from vendors.faults import Fault
from vendors.pyannote import PyannoteVendor
from vendors.replicate import ReplicateVendor

Submit = Callable[..., Job]

AWAITED_S = 77.0


@pytest.fixture
def called(remote: Services) -> Services:
    """Vendors can call this installation."""
    limits = replace(
        remote.limits.remote,
        awaited_poll_s=AWAITED_S,
        public_url="https://erni.example",
        signing=frozenset({"pyannote", "replicate"}),
    )
    return replace(remote, limits=replace(remote.limits, remote=limits))


def begin(services: Services, submit: Submit, **options: object) -> Job:
    job = submit(diarizer="pyannote/precision-2", **options)
    prepare_job(services, job.job_id)
    return job


def diarize_in_vain(services: Services, job: Job) -> WorkPostponed:
    with pytest.raises(WorkPostponed) as waiting:
        diarize_job(services, job.job_id)
    return waiting.value


def step_of(services: Services, job: Job, piece: Piece = DIARIZATION) -> Step:
    step = services.jobs.find_step(job.job_id, piece)
    assert step is not None
    return step


def wait_for_vendor(vendor: PyannoteVendor | ReplicateVendor) -> None:
    deadline = time.monotonic() + 10
    while any(job.ended_at is None for job in vendor.jobs.all()):
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_a_job_whose_submission_got_no_answer_is_known_by_its_webhook_and_paid_once(
    called: Services, submit: Submit, pyannote: PyannoteVendor
) -> None:
    pyannote.webhooks.is_losing = True
    pyannote.faults.order(Fault("lost", path="/v1/diarize", methods=("POST",)))
    job = begin(called, submit)
    diarize_in_vain(called, job)
    wait_for_vendor(pyannote)
    held = diarize_in_vain(called, job)
    assert held.retry_after_s == AWAITED_S
    assert "its webhook" in (step_of(called, job).reason or "")
    [made] = pyannote.jobs.all()
    assert note_submitted(called, "pyannote", made.job_id, (job.job_id, DIARIZATION))
    wake_piece(called, job.job_id, DIARIZATION)
    assert step_of(called, job).status == "ok"
    assert len(pyannote.faults.billed) == 1


def test_a_job_whose_webhook_does_not_come_either_is_submitted_anew(
    called: Services, submit: Submit, pyannote: PyannoteVendor, clock: object
) -> None:
    pyannote.webhooks.is_losing = True
    pyannote.faults.order(Fault("lost", path="/v1/diarize", methods=("POST",)))
    job = begin(called, submit)
    diarize_in_vain(called, job)
    clock.now += timedelta(seconds=AWAITED_S)  # type: ignore[attr-defined]  # Clock
    diarize_in_vain(called, job)
    assert step_of(called, job).remote_id == pyannote.jobs.all()[0].job_id
    assert len(pyannote.jobs.all()) == 2


def test_without_webhooks_nobody_waits_for_one(remote: Services, submit: Submit, pyannote: PyannoteVendor) -> None:
    pyannote.faults.order(Fault("lost", path="/v1/diarize", methods=("POST",)))
    job = begin(remote, submit)
    diarize_in_vain(remote, job)
    diarize_in_vain(remote, job)
    assert len(pyannote.jobs.all()) == 2


@pytest.mark.parametrize("status", [429, 503])
def test_a_refused_submission_made_no_job_that_a_webhook_could_tell(
    called: Services, submit: Submit, pyannote: PyannoteVendor, status: int
) -> None:
    pyannote.faults.order(Fault("status", status, path="/v1/diarize"))
    job = begin(called, submit)
    diarize_in_vain(called, job)
    assert step_of(called, job).submitted_at is None
    assert not note_submitted(called, "pyannote", "another", (job.job_id, DIARIZATION))


def test_waits_before_the_submission_are_no_bad_answers_of_the_vendors_job(
    remote: Services, submit: Submit, pyannote: PyannoteVendor
) -> None:
    job = begin(remote, submit, diarizer_fallback=("scripted",))
    remote.jobs.save_step(replace(remote.jobs.begin_step(job.job_id, DIARIZATION), waits=50))
    diarize_in_vain(remote, job)
    wait_for_vendor(pyannote)
    pyannote.faults.order(Fault("garbage", path="/v1/jobs"))
    diarize_in_vain(remote, job)
    assert diarize_job(remote, job.job_id) == "ok"
    assert (step_of(remote, job).engine, step_of(remote, job).failures) == ("pyannote/precision-2", ())


def test_bad_answers_are_counted_since_the_last_good_one(
    remote: Services, submit: Submit, pyannote: PyannoteVendor
) -> None:
    pyannote.jobs.pace_s = 2.5
    job = begin(remote, submit, diarizer_fallback=("scripted",))
    diarize_in_vain(remote, job)
    for _ in range(2):
        pyannote.faults.order(Fault("garbage", path="/v1/jobs"), 3)
        for _ in range(4):
            diarize_in_vain(remote, job)
    assert step_of(remote, job).waits == 0
    wait_for_vendor(pyannote)
    assert diarize_job(remote, job.job_id) == "ok"
    assert step_of(remote, job).failures == ()


def test_a_job_given_up_for_its_length_is_not_waited_for_again(
    remote: Services, submit: Submit, pyannote: PyannoteVendor, clock: object
) -> None:
    pyannote.jobs.pace_s = 2.0
    job = begin(remote, submit)
    diarize_in_vain(remote, job)
    hung = step_of(remote, job).remote_id
    clock.now += timedelta(seconds=remote.limits.remote.longest_s + 1)  # type: ignore[attr-defined]  # Clock
    assert diarize_job(remote, job.job_id) == "gap"
    remote.jobs.forget_steps(job.job_id, [DIARIZATION])
    diarize_in_vain(remote, job)
    assert step_of(remote, job).remote_id != hung


def test_a_job_given_up_for_its_bad_answers_is_not_waited_for_again(
    remote: Services, submit: Submit, pyannote: PyannoteVendor
) -> None:
    job = begin(remote, submit)
    diarize_in_vain(remote, job)
    unreadable = step_of(remote, job).remote_id
    pyannote.faults.order(Fault("garbage", path="/v1/jobs"), 5)
    for _ in range(4):
        diarize_in_vain(remote, job)
    assert diarize_job(remote, job.job_id) == "gap"
    remote.jobs.forget_steps(job.job_id, [DIARIZATION])
    diarize_in_vain(remote, job)
    assert step_of(remote, job).remote_id != unreadable


def pass_time(clock: object, seconds: float) -> None:
    clock.now += timedelta(seconds=seconds)  # type: ignore[attr-defined]  # Clock


def test_a_vendor_that_cannot_be_asked_gives_way_to_the_next_diarizer(
    remote: Services, submit: Submit, pyannote: PyannoteVendor, clock: object
) -> None:
    silent_s = remote.limits.remote.silent_s
    pyannote.jobs.pace_s = 2.5
    job = begin(remote, submit, diarizer_fallback=("scripted",))
    diarize_in_vain(remote, job)
    pass_time(clock, silent_s)
    diarize_in_vain(remote, job)
    pyannote.faults.order(Fault(status=503, path="/v1/jobs"), 3)
    for _ in range(2):
        pass_time(clock, silent_s / 2)
        diarize_in_vain(remote, job)
    assert step_of(remote, job).engine == "pyannote/precision-2", "it told how its job stands when it was last asked"
    pass_time(clock, 1.0)
    diarize_in_vain(remote, job)
    assert diarize_job(remote, job.job_id) == "ok"
    step = step_of(remote, job)
    assert step.engine == "scripted"
    assert "could not be asked" in step.failures[0].reason


def test_a_vendor_without_a_next_one_is_waited_for(
    remote: Services, submit: Submit, pyannote: PyannoteVendor, clock: object
) -> None:
    job = begin(remote, submit)
    diarize_in_vain(remote, job)
    wait_for_vendor(pyannote)
    pyannote.faults.order(Fault(status=503, path="/v1/jobs"))
    pass_time(clock, remote.limits.remote.longest_s)
    diarize_in_vain(remote, job)
    assert diarize_job(remote, job.job_id) == "ok"


@pytest.mark.parametrize(
    ("fallback", "expected_s"), [((), LONGEST_RETRY_AFTER_S), (("scripted",), 900.0)], ids=["alone", "with a next one"]
)
def test_a_vendor_cannot_have_a_job_wait_for_as_long_as_it_likes(
    remote: Services, submit: Submit, pyannote: PyannoteVendor, fallback: tuple[str, ...], expected_s: float
) -> None:
    job = begin(remote, submit, diarizer_fallback=fallback)
    diarize_in_vain(remote, job)
    pyannote.faults.order(Fault(status=429, headers={"Retry-After": "80000"}, path="/v1/jobs"))
    assert diarize_in_vain(remote, job).retry_after_s == expected_s


def test_a_recording_whose_one_engine_cannot_be_asked_is_cut_for_the_others(
    remote: Services, submit: Submit, replicate: ReplicateVendor, clock: object
) -> None:
    job = submit(method="replicate", engine="replicate/whisper-diarization", fallback=("scripted",))
    prepare_job(remote, job.job_id)
    with pytest.raises(WorkPostponed):
        listen_in_one_shot(remote, job.job_id)
    replicate.faults.order(Fault(status=503, path="/v1/predictions"))
    pass_time(clock, remote.limits.remote.silent_s + 1)
    assert listen_in_one_shot(remote, job.job_id) == "gap"


def test_a_webhook_that_says_failed_has_the_next_diarizer_take_over_at_once(
    called: Services, submit: Submit, pyannote: PyannoteVendor
) -> None:
    pyannote.webhooks.is_losing = True
    pyannote.jobs.order_end("failed", "Could not load audio")
    job = begin(called, submit, diarizer_fallback=("scripted",))
    diarize_in_vain(called, job)
    wait_for_vendor(pyannote)
    with pytest.raises(WorkPostponed) as sent_again:
        wake_piece(called, job.job_id, DIARIZATION)
    assert sent_again.value.retry_after_s == 0.0
    wake_piece(called, job.job_id, DIARIZATION)
    assert (step_of(called, job).status, step_of(called, job).engine) == ("ok", "scripted")


def test_who_finds_the_shared_job_lost_waits_for_the_one_submitted_in_its_place(
    remote: Services, submit: Submit, pyannote: PyannoteVendor
) -> None:
    first, second = begin(remote, submit), begin(remote, submit)
    for job in (first, second):
        diarize_in_vain(remote, job)
    wait_for_vendor(pyannote)
    pyannote.jobs.retention_s, pyannote.jobs.pace_s = 0.0, 0.5
    for job in (second, second, first, first):
        diarize_in_vain(remote, job)
    assert step_of(remote, first).remote_id == step_of(remote, second).remote_id
    assert len(pyannote.jobs.all()) == 2
