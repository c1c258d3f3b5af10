"""What every ``JobStore`` promises about the steps of a job."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from uuid import uuid4

import pytest
from sqlalchemy import Engine, select

from erni.errors import JobNotFound
from erni.jobs import Failure, Job, JobOptions, JobStatus, Piece, Savings, Step, StepKind
from erni.stores.database import reading, writing
from erni.stores.sql_jobs import SqlJobStore
from erni.stores.tables import JOB_STEPS

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
CHUNK = Piece(StepKind.TRANSCRIBE)
FAILURES = (Failure("openai", "It answered garbage: “\ufffd”."), Failure("whisper", "Out of memory."))

BEGIN_AND_FORGET = """
import sys
from erni.jobs import Piece, StepKind
from erni.stores.database import open_database
from erni.stores.sql_jobs import SqlJobStore
store = SqlJobStore(open_database(sys.argv[1]))
store.ping()
pieces = [Piece(StepKind.TRANSCRIBE, part) for part in range(10)]
print("ready", flush=True)
input()
for _ in range(10):
    for piece in pieces:
        step = store.begin_step(sys.argv[2], piece)
    store.save_step(step)
    store.forget_steps(sys.argv[2], pieces)
"""


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


def postponed(step: Step) -> Step:
    """As the step stands while it waits for its next attempt."""
    return replace(
        step,
        deliveries=0,
        attempts=step.attempts + 1,
        engine="whisper",
        failures=FAILURES,
        retry_at=NOON + 2 * MINUTE,
        reason="The engine was asked too often.",
    )


def test_every_delivery_is_counted(jobs: SqlJobStore, job_id: str) -> None:
    assert [jobs.begin_step(job_id, Piece(StepKind.TRANSCRIBE, 3)).deliveries for _ in range(3)] == [1, 2, 3]
    assert jobs.begin_step(job_id, Piece(StepKind.TRANSCRIBE, 4)).deliveries == 1
    assert jobs.begin_step(job_id, Piece(StepKind.DIARIZE)).deliveries == 1


def test_a_released_delivery_does_not_count(jobs: SqlJobStore, job_id: str) -> None:
    jobs.begin_step(job_id, CHUNK)
    jobs.begin_step(job_id, CHUNK)
    jobs.release_step(job_id, CHUNK)
    step = jobs.begin_step(job_id, CHUNK)
    assert (step.deliveries, step.status) == (2, "running")


def test_releasing_what_was_never_begun_changes_nothing(jobs: SqlJobStore, job_id: str) -> None:
    jobs.release_step(job_id, CHUNK)
    jobs.release_step("0" * 32, CHUNK)
    assert jobs.begin_step(job_id, CHUNK).deliveries == 1


def test_deliveries_begun_by_many_threads_are_all_counted(jobs: SqlJobStore, job_id: str) -> None:
    with ThreadPoolExecutor(8) as threads:
        counts = list(threads.map(lambda _: jobs.begin_step(job_id, CHUNK).deliveries, range(24)))
    assert sorted(counts) == list(range(1, 25))


def test_begun_step_is_running_since_its_last_delivery(jobs: SqlJobStore, clock: Clock, job_id: str) -> None:
    first = Step(job_id, StepKind.JOIN, 0, "running", 1, NOON)
    assert jobs.begin_step(job_id, Piece(StepKind.JOIN)) == first
    assert jobs.steps(job_id) == [first]
    clock.now += MINUTE
    second = replace(first, deliveries=2, started_at=NOON + MINUTE)
    assert jobs.begin_step(job_id, Piece(StepKind.JOIN)) == second
    assert jobs.steps(job_id) == [second]


def test_end_of_a_step_comes_back_as_it_was_recorded(jobs: SqlJobStore, job_id: str) -> None:
    jobs.begin_step(job_id, CHUNK)
    jobs.finish_step(ended(job_id))
    assert jobs.steps(job_id) == [ended(job_id)]


def test_first_end_of_a_step_stays(jobs: SqlJobStore, job_id: str) -> None:
    jobs.begin_step(job_id, CHUNK)
    jobs.finish_step(ended(job_id))
    jobs.finish_step(ended(job_id, status="gap", after=2 * MINUTE))
    assert jobs.steps(job_id) == [ended(job_id)]


def test_step_that_is_over_is_only_counted_when_it_is_delivered_again(
    jobs: SqlJobStore, clock: Clock, job_id: str
) -> None:
    jobs.begin_step(job_id, CHUNK)
    jobs.finish_step(ended(job_id))
    clock.now += MINUTE
    assert jobs.begin_step(job_id, CHUNK) == replace(ended(job_id), deliveries=2)
    assert jobs.steps(job_id) == [replace(ended(job_id), deliveries=2)]


def test_end_keeps_the_deliveries_counted_before(jobs: SqlJobStore, job_id: str) -> None:
    for _ in range(3):
        jobs.begin_step(job_id, CHUNK)
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
        jobs.begin_step(job_id, Piece(kind, part))
    assert [(step.kind, step.part) for step in jobs.steps(job_id)] == [
        (StepKind.PREPARE, 0),
        (StepKind.TRANSCRIBE, 9),
        (StepKind.TRANSCRIBE, 10),
        (StepKind.DIARIZE, 0),
        (StepKind.JOIN, 0),
    ]


def test_job_without_steps_has_none(jobs: SqlJobStore, job_id: str) -> None:
    jobs.begin_step(job_id, Piece(StepKind.PREPARE))
    assert jobs.steps(uuid4().hex) == []


def test_every_write_to_a_step_is_news_of_its_job(jobs: SqlJobStore, clock: Clock, job_id: str) -> None:
    for write in (
        lambda: jobs.begin_step(job_id, CHUNK),
        lambda: jobs.save_step(ended(job_id)),
        lambda: jobs.release_step(job_id, CHUNK),
        lambda: jobs.finish_step(ended(job_id)),
        lambda: jobs.forget_steps(job_id, [CHUNK]),
    ):
        clock.now += MINUTE
        write()
        assert jobs.get(job_id).updated_at == clock.now


def test_running_step_comes_back_as_it_was_saved(jobs: SqlJobStore, job_id: str) -> None:
    waiting = postponed(jobs.begin_step(job_id, CHUNK))
    jobs.save_step(waiting)
    assert jobs.find_step(job_id, CHUNK) == waiting
    assert jobs.steps(job_id) == [waiting]


def test_saving_a_step_changes_neither_its_begin_nor_its_status(jobs: SqlJobStore, job_id: str) -> None:
    begun = jobs.begin_step(job_id, CHUNK)
    jobs.save_step(replace(begun, status="ok", started_at=NOON + MINUTE, finished_at=NOON, savings=Savings(1.0)))
    assert jobs.find_step(job_id, CHUNK) == begun


def test_step_begun_again_keeps_its_history_and_waits_no_more(jobs: SqlJobStore, clock: Clock, job_id: str) -> None:
    waiting = postponed(postponed(jobs.begin_step(job_id, CHUNK)))
    jobs.save_step(waiting)
    clock.now += 2 * MINUTE
    again = replace(waiting, deliveries=1, started_at=clock.now, retry_at=None, reason=None)
    assert jobs.begin_step(job_id, CHUNK) == again
    assert jobs.find_step(job_id, CHUNK) == again
    assert (again.attempts, again.engine, again.failures) == (2, "whisper", FAILURES)


def test_saving_a_step_that_is_over_changes_nothing(jobs: SqlJobStore, job_id: str) -> None:
    begun = jobs.begin_step(job_id, CHUNK)
    jobs.finish_step(ended(job_id))
    jobs.save_step(postponed(begun))
    assert jobs.steps(job_id) == [ended(job_id)]


def test_saving_a_step_that_does_not_exist_makes_none(jobs: SqlJobStore, job_id: str) -> None:
    begun = jobs.begin_step(job_id, CHUNK)
    jobs.forget_steps(job_id, [CHUNK])
    jobs.save_step(begun)
    assert jobs.steps(job_id) == []
    jobs.delete(job_id)
    jobs.save_step(begun)
    assert jobs.steps(job_id) == []


def test_saving_a_step_changes_no_other_one(jobs: SqlJobStore, job_id: str) -> None:
    others = [jobs.begin_step(job_id, Piece(StepKind.TRANSCRIBE, 1)), jobs.begin_step(job_id, Piece(StepKind.DIARIZE))]
    jobs.save_step(postponed(jobs.begin_step(job_id, CHUNK)))
    assert jobs.steps(job_id)[1:] == others


def test_end_tells_failures_attempts_and_savings_and_waits_no_more(jobs: SqlJobStore, job_id: str) -> None:
    waiting = postponed(jobs.begin_step(job_id, CHUNK))
    jobs.save_step(waiting)
    end = replace(waiting, status="ok", finished_at=NOON + MINUTE, elapsed_s=0.1, savings=Savings(12.5, 0.006))
    jobs.finish_step(end)
    assert jobs.find_step(job_id, CHUNK) == replace(end, retry_at=None)


@pytest.mark.parametrize("savings", [None, Savings(), Savings(3600.0, 0.36)], ids=["none", "nothing", "an hour"])
def test_savings_of_nothing_differ_from_no_savings(jobs: SqlJobStore, job_id: str, savings: Savings | None) -> None:
    jobs.finish_step(replace(ended(job_id), savings=savings))
    assert jobs.steps(job_id) == [replace(ended(job_id), savings=savings)]


def test_end_of_a_step_never_begun_does_not_wait(jobs: SqlJobStore, job_id: str) -> None:
    jobs.finish_step(replace(ended(job_id, status="gap"), retry_at=NOON, failures=FAILURES))
    assert jobs.steps(job_id) == [replace(ended(job_id, status="gap"), failures=FAILURES)]


def test_forgotten_steps_begin_anew_and_the_others_stay(jobs: SqlJobStore, job_id: str) -> None:
    for part in range(3):
        jobs.finish_step(replace(ended(job_id, part=part, status="gap"), attempts=4, failures=FAILURES))
    turns = jobs.begin_step(job_id, Piece(StepKind.DIARIZE))
    jobs.forget_steps(job_id, [Piece(StepKind.TRANSCRIBE, 0), Piece(StepKind.TRANSCRIBE, 2)])
    assert [step.piece for step in jobs.steps(job_id)] == [Piece(StepKind.TRANSCRIBE, 1), turns.piece]
    anew = Step(job_id, StepKind.TRANSCRIBE, 2, "running", 1, NOON)
    assert jobs.begin_step(job_id, Piece(StepKind.TRANSCRIBE, 2)) == anew


def test_steps_of_another_job_are_not_forgotten(jobs: SqlJobStore, job_id: str) -> None:
    neighbour = jobs.add(replace(jobs.get(job_id), job_id=uuid4().hex)).job_id
    for owner in (job_id, neighbour):
        jobs.begin_step(owner, CHUNK)
    jobs.forget_steps(job_id, [CHUNK])
    assert jobs.steps(job_id) == []
    assert len(jobs.steps(neighbour)) == 1


def test_forgetting_what_is_not_there_changes_nothing(jobs: SqlJobStore, job_id: str) -> None:
    begun = jobs.begin_step(job_id, CHUNK)
    jobs.forget_steps(job_id, [])
    jobs.forget_steps(job_id, [Piece(StepKind.TRANSCRIBE, part) for part in range(1, 2000)])
    jobs.forget_steps("0" * 32, [CHUNK])
    assert jobs.steps(job_id) == [begun]


def test_step_is_found_by_its_piece_once_it_was_begun(jobs: SqlJobStore, job_id: str) -> None:
    begun = jobs.begin_step(job_id, Piece(StepKind.TRANSCRIBE, 7))
    assert jobs.find_step(job_id, Piece(StepKind.TRANSCRIBE, 7)) == begun
    assert jobs.find_step(job_id, CHUNK) is None
    assert jobs.find_step(job_id, Piece(StepKind.DIARIZE, 7)) is None
    assert jobs.find_step("0" * 32, Piece(StepKind.TRANSCRIBE, 7)) is None


def test_processes_that_begin_and_forget_the_same_steps_do_not_block_each_other(
    jobs: SqlJobStore, job_id: str, records_url: str, run_together: Callable[..., list[str]]
) -> None:
    run_together(BEGIN_AND_FORGET, records_url, job_id, processes=4)
    assert jobs.steps(job_id) == []


def test_step_of_a_deleted_job_cannot_begin(jobs: SqlJobStore, job_id: str) -> None:
    jobs.delete(job_id)
    with pytest.raises(JobNotFound):
        jobs.begin_step(job_id, Piece(StepKind.PREPARE))


def test_steps_go_with_their_job_and_stay_gone(jobs: SqlJobStore, engine: Engine, job_id: str) -> None:
    jobs.begin_step(job_id, CHUNK)
    jobs.delete(job_id)
    jobs.finish_step(ended(job_id))
    jobs.delete(job_id)
    with reading(engine) as connection:
        assert connection.execute(select(JOB_STEPS)).all() == []


def test_kinds_of_a_newer_release_are_passed_over(jobs: SqlJobStore, engine: Engine, job_id: str) -> None:
    jobs.begin_step(job_id, Piece(StepKind.PREPARE))
    with writing(engine) as connection:
        connection.execute(
            JOB_STEPS.insert().values(
                job_id=job_id, kind="translate", part=0, status="running", deliveries=1, started_at=NOON
            )
        )
    assert [step.kind for step in jobs.steps(job_id)] == [StepKind.PREPARE]


def test_a_reason_no_database_could_hold_is_kept_readable(jobs: SqlJobStore, job_id: str) -> None:
    step = jobs.begin_step(job_id, CHUNK)
    jobs.save_step(replace(step, reason="it said \0 and \ud800", retry_at=NOON))
    found = jobs.find_step(job_id, CHUNK)
    assert found is not None
    assert found.reason == "it said \N{REPLACEMENT CHARACTER} and ?"


def submitted(step: Step, remote_id: str | None = "remote-1", engine: str = "pyannote/precision-2") -> Step:
    """As the step stands while it waits for a vendor's job."""
    return replace(step, engine=engine, submitted_at=NOON, remote_id=remote_id)


def test_vendors_job_is_kept_while_the_step_waits_and_when_it_runs_again(jobs: SqlJobStore, job_id: str) -> None:
    waiting = submitted(jobs.begin_step(job_id, CHUNK))
    jobs.save_step(waiting)
    assert jobs.find_step(job_id, CHUNK) == waiting
    again = jobs.begin_step(job_id, CHUNK)
    assert (again.submitted_at, again.remote_id) == (NOON, "remote-1")


def test_vendors_job_is_kept_with_the_end_of_its_step(jobs: SqlJobStore, job_id: str) -> None:
    end = submitted(ended(job_id))
    jobs.finish_step(end)
    assert jobs.find_step(job_id, CHUNK) == end


def test_waiting_step_is_found_by_its_vendors_job(jobs: SqlJobStore, job_id: str) -> None:
    waiting = submitted(jobs.begin_step(job_id, CHUNK))
    jobs.save_step(waiting)
    assert jobs.find_remote("pyannote", "remote-1") == [waiting]
    assert jobs.find_remote("pyannote", "remote-2") == []


def test_same_id_at_another_vendor_finds_nothing(jobs: SqlJobStore, job_id: str) -> None:
    jobs.save_step(submitted(jobs.begin_step(job_id, CHUNK)))
    assert jobs.find_remote("replicate", "remote-1") == []
    assert jobs.find_remote("pyan%", "remote-1") == []


def test_step_that_is_over_is_not_found_by_its_vendors_job(jobs: SqlJobStore, job_id: str) -> None:
    step = submitted(jobs.begin_step(job_id, CHUNK))
    jobs.save_step(step)
    jobs.finish_step(replace(step, status="ok", finished_at=NOON))
    assert jobs.find_remote("pyannote", "remote-1") == []


def test_id_of_a_vendors_job_can_be_noted_once_for_a_step_that_was_submitted(jobs: SqlJobStore, job_id: str) -> None:
    step = jobs.begin_step(job_id, CHUNK)
    assert not jobs.note_remote(job_id, CHUNK, "pyannote", "remote-1"), "nothing was submitted"
    jobs.save_step(submitted(step, None))
    assert not jobs.note_remote(job_id, CHUNK, "replicate", "remote-1"), "not to this vendor"
    assert jobs.note_remote(job_id, CHUNK, "pyannote", "remote-1")
    assert not jobs.note_remote(job_id, CHUNK, "pyannote", "remote-2"), "the id is known"
    assert jobs.find_step(job_id, CHUNK) == submitted(step)


def test_step_that_is_over_takes_no_vendors_job(jobs: SqlJobStore, job_id: str) -> None:
    jobs.finish_step(submitted(ended(job_id), None))
    assert not jobs.note_remote(job_id, CHUNK, "pyannote", "remote-1")


def test_id_noted_while_a_worker_has_the_step_outlives_what_the_worker_saves(jobs: SqlJobStore, job_id: str) -> None:
    held = submitted(jobs.begin_step(job_id, CHUNK), None)
    jobs.save_step(held)
    jobs.note_remote(job_id, CHUNK, "pyannote", "remote-1")
    jobs.save_step(replace(held, attempts=1))
    assert jobs.find_step(job_id, CHUNK) == replace(submitted(held), attempts=1)


@pytest.mark.parametrize("submitted_at", [None, NOON + timedelta(seconds=1)], ids=["none", "another"])
def test_id_goes_with_its_submission(jobs: SqlJobStore, job_id: str, submitted_at: datetime | None) -> None:
    step = submitted(jobs.begin_step(job_id, CHUNK))
    jobs.save_step(step)
    later = replace(step, submitted_at=submitted_at, remote_id=None)
    jobs.save_step(later)
    assert jobs.find_step(job_id, CHUNK) == later
