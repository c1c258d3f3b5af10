"""What every ``JobStore`` promises about the steps of a job."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from uuid import uuid4

import pytest
from sqlalchemy import Engine, select

from erni.errors import JobNotFound
from erni.jobs import Job, JobOptions, JobStatus, Step, StepKind
from erni.stores.database import reading, writing
from erni.stores.sql_jobs import SqlJobStore
from erni.stores.tables import JOB_STEPS

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
MINUTE = timedelta(minutes=1)


class Clock:
    """Stands still until it is moved on."""

    def __init__(self) -> None:
        self.now = NOON

    def __call__(self) -> datetime:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def jobs(engine: Engine, clock: Clock) -> SqlJobStore:
    return SqlJobStore(engine, clock=clock)


@pytest.fixture
def job_id(jobs: SqlJobStore) -> str:
    job = Job(uuid4().hex, "acme", JobStatus.PROCESSING, JobOptions(), NOON, "sha256:00", 1)
    return jobs.add(job).job_id


def ended(job_id: str, *, part: int = 0, status: str = "ok", after: timedelta = MINUTE) -> Step:
    return Step(job_id, StepKind.TRANSCRIBE, part, status, 1, NOON, NOON + after, 60.0, 12.5, "whisper", "loud café")


def test_every_delivery_is_counted(jobs: SqlJobStore, job_id: str) -> None:
    assert [jobs.begin_step(job_id, StepKind.TRANSCRIBE, 3) for _ in range(3)] == [1, 2, 3]
    assert jobs.begin_step(job_id, StepKind.TRANSCRIBE, 4) == 1
    assert jobs.begin_step(job_id, StepKind.DIARIZE) == 1


def test_a_released_delivery_does_not_count(jobs: SqlJobStore, job_id: str) -> None:
    jobs.begin_step(job_id, StepKind.TRANSCRIBE)
    jobs.begin_step(job_id, StepKind.TRANSCRIBE)
    jobs.release_step(job_id, StepKind.TRANSCRIBE)
    assert jobs.begin_step(job_id, StepKind.TRANSCRIBE) == 2
    (step,) = jobs.steps(job_id)
    assert step.status == "running"


def test_releasing_what_was_never_begun_changes_nothing(jobs: SqlJobStore, job_id: str) -> None:
    jobs.release_step(job_id, StepKind.TRANSCRIBE)
    jobs.release_step("0" * 32, StepKind.TRANSCRIBE)
    assert jobs.begin_step(job_id, StepKind.TRANSCRIBE) == 1


def test_deliveries_begun_by_many_threads_are_all_counted(jobs: SqlJobStore, job_id: str) -> None:
    with ThreadPoolExecutor(8) as threads:
        counts = list(threads.map(lambda _: jobs.begin_step(job_id, StepKind.TRANSCRIBE, 0), range(24)))
    assert sorted(counts) == list(range(1, 25))


def test_begun_step_is_running_since_its_last_delivery(jobs: SqlJobStore, clock: Clock, job_id: str) -> None:
    jobs.begin_step(job_id, StepKind.JOIN)
    assert jobs.steps(job_id) == [Step(job_id, StepKind.JOIN, 0, "running", 1, NOON)]
    clock.now += MINUTE
    jobs.begin_step(job_id, StepKind.JOIN)
    assert jobs.steps(job_id) == [Step(job_id, StepKind.JOIN, 0, "running", 2, NOON + MINUTE)]


def test_end_of_a_step_comes_back_as_it_was_recorded(jobs: SqlJobStore, job_id: str) -> None:
    jobs.begin_step(job_id, StepKind.TRANSCRIBE)
    jobs.finish_step(ended(job_id))
    assert jobs.steps(job_id) == [ended(job_id)]


def test_first_end_of_a_step_stays(jobs: SqlJobStore, job_id: str) -> None:
    jobs.begin_step(job_id, StepKind.TRANSCRIBE)
    jobs.finish_step(ended(job_id))
    jobs.finish_step(ended(job_id, status="gap", after=2 * MINUTE))
    assert jobs.steps(job_id) == [ended(job_id)]


def test_step_that_is_over_is_only_counted_when_it_is_delivered_again(
    jobs: SqlJobStore, clock: Clock, job_id: str
) -> None:
    jobs.begin_step(job_id, StepKind.TRANSCRIBE)
    jobs.finish_step(ended(job_id))
    clock.now += MINUTE
    assert jobs.begin_step(job_id, StepKind.TRANSCRIBE) == 2
    (step,) = jobs.steps(job_id)
    assert (step.status, step.started_at, step.finished_at) == ("ok", NOON, NOON + MINUTE)


def test_end_keeps_the_deliveries_counted_before(jobs: SqlJobStore, job_id: str) -> None:
    for _ in range(3):
        jobs.begin_step(job_id, StepKind.TRANSCRIBE)
    jobs.finish_step(ended(job_id, status="gap"))
    assert [step.deliveries for step in jobs.steps(job_id)] == [3]


def test_end_of_a_step_never_begun_is_recorded(jobs: SqlJobStore, job_id: str) -> None:
    jobs.finish_step(ended(job_id, status="gap"))
    assert jobs.steps(job_id) == [ended(job_id, status="gap")]


def test_steps_come_in_the_order_of_the_work(jobs: SqlJobStore, job_id: str) -> None:
    for kind, part in [
        (StepKind.JOIN, 0),
        (StepKind.TRANSCRIBE, 10),
        (StepKind.DIARIZE, 0),
        (StepKind.TRANSCRIBE, 9),
        (StepKind.PREPARE, 0),
    ]:
        jobs.begin_step(job_id, kind, part)
    assert [(step.kind, step.part) for step in jobs.steps(job_id)] == [
        (StepKind.PREPARE, 0),
        (StepKind.TRANSCRIBE, 9),
        (StepKind.TRANSCRIBE, 10),
        (StepKind.DIARIZE, 0),
        (StepKind.JOIN, 0),
    ]


def test_job_without_steps_has_none(jobs: SqlJobStore, job_id: str) -> None:
    jobs.begin_step(job_id, StepKind.PREPARE)
    assert jobs.steps(uuid4().hex) == []


def test_begin_and_end_of_a_step_are_news_of_its_job(jobs: SqlJobStore, clock: Clock, job_id: str) -> None:
    clock.now = NOON + MINUTE
    jobs.begin_step(job_id, StepKind.TRANSCRIBE)
    assert jobs.get(job_id).updated_at == NOON + MINUTE
    clock.now = NOON + 2 * MINUTE
    jobs.finish_step(ended(job_id))
    assert jobs.get(job_id).updated_at == NOON + 2 * MINUTE


def test_step_of_a_deleted_job_cannot_begin(jobs: SqlJobStore, job_id: str) -> None:
    jobs.delete(job_id)
    with pytest.raises(JobNotFound):
        jobs.begin_step(job_id, StepKind.PREPARE)


def test_steps_go_with_their_job_and_stay_gone(jobs: SqlJobStore, engine: Engine, job_id: str) -> None:
    jobs.begin_step(job_id, StepKind.TRANSCRIBE)
    jobs.delete(job_id)
    jobs.finish_step(ended(job_id))
    jobs.delete(job_id)
    with reading(engine) as connection:
        assert connection.execute(select(JOB_STEPS)).all() == []


def test_kinds_of_a_newer_release_are_passed_over(jobs: SqlJobStore, engine: Engine, job_id: str) -> None:
    jobs.begin_step(job_id, StepKind.PREPARE)
    with writing(engine) as connection:
        connection.execute(
            JOB_STEPS.insert().values(
                job_id=job_id, kind="translate", part=0, status="running", deliveries=1, started_at=NOON
            )
        )
    assert [step.kind for step in jobs.steps(job_id)] == [StepKind.PREPARE]
