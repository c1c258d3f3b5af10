"""What vendors' jobs leave on the ledger however they end, over their own protocols on loopback."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import timedelta

import pytest
from sqlalchemy import select

from erni.errors import WorkPostponed
from erni.jobs import Job, Step
from erni.services import Services
from erni.steps.diarizing import diarize_job
from erni.steps.one_shot import listen_in_one_shot
from erni.steps.pieces import DIARIZATION, ONE_SHOT
from erni.steps.preparing import prepare_job
from erni.stores.database import reading
from erni.stores.sql_ledger import SqlLedger
from erni.stores.tables import LEDGER
from vendors.faults import Fault
from vendors.pyannote import PyannoteVendor
from vendors.replicate import ReplicateVendor

Submit = Callable[..., Job]

USD_PER_SECOND = 0.001


def begin(services: Services, submit: Submit, **options: object) -> Job:
    job = submit(method="replicate", engine="replicate/whisper-diarization", **options)
    prepare_job(services, job.job_id)
    return job


def listen_in_vain(services: Services, *jobs: Job) -> None:
    for job in jobs:
        with pytest.raises(WorkPostponed):
            listen_in_one_shot(services, job.job_id)


def step_of(services: Services, job: Job) -> Step:
    step = services.jobs.find_step(job.job_id, ONE_SHOT)
    assert step is not None
    return step


def charges(services: Services, *jobs: Job) -> list[Mapping[str, object]]:
    """The rows of these jobs, oldest first."""
    ledger = services.ledger
    assert isinstance(ledger, SqlLedger)
    rows = select(LEDGER).where(LEDGER.c.job_id.in_([job.job_id for job in jobs])).order_by(LEDGER.c.charge_id)
    with reading(ledger._engine) as connection:
        return [dict(row) for row in connection.execute(rows).mappings()]


def wait_for_vendor(vendor: PyannoteVendor | ReplicateVendor) -> None:
    deadline = time.monotonic() + 10
    while any(job.ended_at is None for job in vendor.jobs.all()):
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_fault_15_a_prediction_aborted_before_it_began_is_not_charged_and_submitted_anew(
    remote: Services, submit: Submit, replicate: ReplicateVendor, clock: object
) -> None:
    replicate.jobs.order_end("aborted")
    job = begin(remote, submit)
    listen_in_vain(remote, job)
    wait_for_vendor(replicate)
    listen_in_vain(remote, job)
    assert [row["status"] for row in charges(remote, job)] == ["released"]
    clock.now += timedelta(seconds=1)  # type: ignore[attr-defined]  # Clock
    listen_in_vain(remote, job)
    wait_for_vendor(replicate)
    assert listen_in_one_shot(remote, job.job_id) == "ok"
    assert [row["status"] for row in charges(remote, job)] == ["released", "settled"]


@pytest.mark.parametrize("end", ["canceled", "failed"])
def test_a_prediction_that_ended_halfway_is_charged_for_the_time_it_ran(
    remote: Services, submit: Submit, replicate: ReplicateVendor, end: str
) -> None:
    replicate.jobs.pace_s = 0.3
    replicate.jobs.order_end(end)
    job = begin(remote, submit)
    listen_in_vain(remote, job)
    wait_for_vendor(replicate)
    assert listen_in_one_shot(remote, job.job_id) == "gap"
    [charge] = charges(remote, job)
    prediction = replicate.jobs.all()[0]
    assert prediction.started_at is not None
    assert prediction.ended_at is not None
    ran_s = (prediction.ended_at - prediction.started_at).total_seconds()
    assert charge["status"] == "settled"
    assert charge["usage"] == {"predict_time": ran_s}
    assert remote.ledger.spent_by_job(job.job_id) == pytest.approx(ran_s * USD_PER_SECOND)


@pytest.mark.parametrize("end", ["failed", "canceled"])
def test_a_job_of_pyannote_that_did_not_succeed_costs_nothing(
    remote: Services, submit: Submit, pyannote: PyannoteVendor, end: str
) -> None:
    pyannote.jobs.order_end(end)
    job = submit(diarizer="pyannote/precision-2")
    prepare_job(remote, job.job_id)
    with pytest.raises(WorkPostponed):
        diarize_job(remote, job.job_id)
    wait_for_vendor(pyannote)
    assert diarize_job(remote, job.job_id) == "gap"
    assert [row["status"] for row in charges(remote, job)] == ["released"]


def test_who_finds_the_shared_prediction_lost_waits_for_the_one_submitted_in_its_place(
    remote: Services, submit: Submit, replicate: ReplicateVendor
) -> None:
    replicate.jobs.order_end("aborted")
    first, second = begin(remote, submit), begin(remote, submit)
    listen_in_vain(remote, first, second)
    wait_for_vendor(replicate)
    replicate.jobs.pace_s = 0.5
    listen_in_vain(remote, second, second)
    listen_in_vain(remote, first, first)
    assert step_of(remote, first).remote_id == step_of(remote, second).remote_id
    wait_for_vendor(replicate)
    assert [listen_in_one_shot(remote, job.job_id) for job in (first, second)] == ["ok", "ok"]
    assert len(replicate.faults.billed) == 1


def test_who_submitted_pays_also_where_an_equal_job_collects_first(
    remote: Services, submit: Submit, replicate: ReplicateVendor
) -> None:
    payer, other = begin(remote, submit), begin(remote, submit)
    listen_in_vain(remote, payer, other)
    wait_for_vendor(replicate)
    assert [listen_in_one_shot(remote, job.job_id) for job in (other, payer)] == ["ok", "ok"]
    [charge] = charges(remote, payer, other)
    assert (charge["job_id"], charge["status"]) == (payer.job_id, "settled")
    assert charge["usage"] is not None
    assert [step_of(remote, job).savings for job in (payer, other)] == [None, None]


def test_who_submitted_a_diarization_pays_also_where_an_equal_job_collects_first(
    remote: Services, submit: Submit, pyannote: PyannoteVendor
) -> None:
    payer, other = (submit(diarizer="pyannote/precision-2") for _ in range(2))
    for job in (payer, other):
        prepare_job(remote, job.job_id)
        with pytest.raises(WorkPostponed):
            diarize_job(remote, job.job_id)
    wait_for_vendor(pyannote)
    assert [diarize_job(remote, job.job_id) for job in (other, payer)] == ["ok", "ok"]
    [charge] = charges(remote, payer, other)
    assert (charge["job_id"], charge["status"]) == (payer.job_id, "settled")
    step = remote.jobs.find_step(payer.job_id, DIARIZATION)
    assert step is not None
    assert step.savings is None


@pytest.mark.parametrize("fault", ["lost", "refused"])
def test_a_prediction_whose_submission_seemed_to_fail_is_settled_by_whichever_attempt_collects_it(
    remote: Services, submit: Submit, replicate: ReplicateVendor, fault: str
) -> None:
    replicate.faults.order(Fault("lost", path="/v1/predictions", methods=("POST",)))
    job = begin(remote, submit)
    listen_in_vain(remote, job)
    if fault == "refused":
        # As where a gateway said 503 although the prediction was begun: the call was given its money back.
        remote.ledger.release(str(charges(remote, job)[0]["charge_id"]))
        remote.jobs.save_step(replace(step_of(remote, job), submitted_at=None))
    listen_in_vain(remote, job)
    wait_for_vendor(replicate)
    assert listen_in_one_shot(remote, job.job_id) == "ok"
    assert len(replicate.faults.billed) == 1
    assert [row["status"] for row in charges(remote, job)].count("settled") == 1
