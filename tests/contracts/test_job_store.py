"""What every ``JobStore`` promises."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from itertools import product
from uuid import uuid4

import pytest
from sqlalchemy import Engine, update

from erni.errors import InvalidOption, JobNotFound, StorageError
from erni.jobs import MOVES_INTO, Job, JobFailure, JobOptions, JobStatus, Piece, StepKind
from erni.model import Notice, Span
from erni.ports import JobStore
from erni.stores.database import writing
from erni.stores.sql_jobs import SqlJobStore
from erni.stores.tables import JOBS

NOON = datetime(2026, 3, 1, 12, 0, 0, 123456, tzinfo=UTC)
EVENING = datetime(2026, 3, 1, 18, tzinfo=UTC)
MORE_THAN_A_PAGE = 205

START = """
import sys
from datetime import UTC, datetime
from uuid import uuid4
from erni.jobs import Job, JobOptions, JobStatus, Piece, StepKind
from erni.stores.database import open_database
from erni.stores.sql_jobs import SqlJobStore
store = SqlJobStore(open_database(sys.argv[1]))
store.ping()
print("ready", flush=True)
input()
"""
CLAIM = START.replace("store.ping()", "job = store.get(sys.argv[2])") + "print(store.claim(job))"
ADVANCE = START + "print(store.advance(sys.argv[2], JobStatus.PREPARING))"
WRITE_MUCH = (
    START
    + """
for part in range(30):
    job_id = uuid4().hex
    store.add(Job(job_id, "acme", JobStatus.QUEUED, JobOptions(), datetime.now(UTC), "digest", 1))
    store.begin_step(job_id, Piece(StepKind.TRANSCRIBE, part))
    assert store.advance(job_id, JobStatus.PREPARING)
    store.begin_step(sys.argv[2], Piece(StepKind.TRANSCRIBE, part))
"""
)


@pytest.fixture
def jobs(engine: Engine) -> JobStore:
    """Its clock stands still in the evening, later than any job is made."""
    return SqlJobStore(engine, clock=lambda: EVENING)


def make_job(tenant: str = "acme", status: JobStatus = JobStatus.QUEUED, *, minute: int = 0, **fields: object) -> Job:
    moment = NOON + timedelta(minutes=minute)
    job = Job(uuid4().hex, tenant, status, JobOptions(), moment, "sha256:00", 1, updated_at=moment)
    return replace(job, **fields)


def test_job_comes_back_as_it_was_added(jobs: JobStore) -> None:
    job = make_job(
        options=JobOptions(
            language="de",
            prompt="Zürich “Erni” 🎙",
            num_speakers=3,
            fallback=("openai", "whisper"),
            on_gap="fail",
            cache="refresh",
            deadline_s=0.5,
            metadata={"ref": "Ü-1"},
        ),
        source_bytes=5 * 1024**3,
        filename="Sitzung, März.m4a",
        idempotency_key="upload-1",
        restarted_at=EVENING,
        started_at=NOON,
        processing_at=NOON,
        finished_at=NOON,
        duration_s=8400.125,
        speech_s=0.1,
        chunks_total=140,
        warnings=(
            Notice("truncated", "The file broke off.", Span(1.5, 2.25)),
            Notice("demo", "A small model."),
        ),
        failure=JobFailure("unreadable_media", "Send another file."),
        key_id="key-1",
    )
    assert jobs.add(job) == job
    assert jobs.get(job.job_id) == job


def test_job_without_news_was_last_heard_of_when_it_was_made(jobs: JobStore) -> None:
    job = make_job(updated_at=None)
    assert jobs.add(job).updated_at == NOON
    assert jobs.get(job.job_id).updated_at == NOON


def test_times_come_back_in_utc_whatever_zone_they_had(jobs: JobStore) -> None:
    elsewhere = NOON.astimezone(timezone(timedelta(hours=5, minutes=30)))
    job = jobs.add(make_job(created_at=elsewhere))
    created_at = jobs.get(job.job_id).created_at
    assert created_at == NOON
    assert created_at.utcoffset() == timedelta(0)


def test_unknown_job_is_not_found(jobs: JobStore) -> None:
    with pytest.raises(JobNotFound):
        jobs.get(uuid4().hex)


def test_job_of_another_tenant_is_not_found(jobs: JobStore) -> None:
    job = jobs.add(make_job("acme"))
    assert jobs.get(job.job_id, tenant="acme") == job
    with pytest.raises(JobNotFound):
        jobs.get(job.job_id, tenant="rival")
    assert jobs.list_jobs("rival", limit=10) == []


def test_same_idempotency_key_returns_the_first_job(jobs: JobStore) -> None:
    first = jobs.add(make_job(idempotency_key="upload-1"))
    assert jobs.add(make_job(idempotency_key="upload-1", minute=1)) == first
    assert jobs.list_jobs("acme", limit=10) == [first]


@pytest.mark.parametrize("fallback", [(), ("openai",), ("openai", "replicate")], ids=len)
def test_options_of_a_repeated_submission_equal_the_recorded_ones(jobs: JobStore, fallback: tuple[str, ...]) -> None:
    options = JobOptions(fallback=fallback)
    jobs.add(make_job(idempotency_key="upload-1", options=options))
    recorded = jobs.add(make_job(idempotency_key="upload-1", options=options))
    assert recorded.options == options


def test_tenants_do_not_share_idempotency_keys(jobs: JobStore) -> None:
    first = jobs.add(make_job("acme", idempotency_key="upload-1"))
    second = jobs.add(make_job("rival", idempotency_key="upload-1"))
    assert first.job_id != second.job_id


def test_a_job_is_found_by_its_idempotency_key_and_tenant(jobs: JobStore) -> None:
    first = jobs.add(make_job("acme", idempotency_key="upload-1"))
    jobs.add(make_job("acme"))
    assert jobs.find_by_idempotency_key("acme", "upload-1") == first
    assert jobs.find_by_idempotency_key("acme", "upload-2") is None
    assert jobs.find_by_idempotency_key("rival", "upload-1") is None


def test_jobs_without_a_key_are_all_recorded(jobs: JobStore) -> None:
    jobs.add(make_job())
    jobs.add(make_job())
    assert len(jobs.list_jobs("acme", limit=10)) == 2


def test_adding_a_recorded_job_again_returns_what_is_recorded(jobs: JobStore) -> None:
    _, job, _ = [jobs.add(make_job(minute=minute)) for minute in range(3)]
    jobs.advance(job.job_id, JobStatus.PREPARING)
    assert jobs.add(job) == replace(job, status=JobStatus.PREPARING, updated_at=EVENING)


def test_same_key_added_by_many_threads_makes_one_job(jobs: JobStore) -> None:
    with ThreadPoolExecutor(8) as threads:
        added = list(threads.map(lambda _: jobs.add(make_job(idempotency_key="upload-1")), range(16)))
    assert len({job.job_id for job in added}) == 1
    assert len(jobs.list_jobs("acme", limit=100)) == 1


def test_listing_shows_the_newest_first(jobs: JobStore) -> None:
    added = [jobs.add(make_job(minute=minute)) for minute in (1, 0, 2)]
    assert jobs.list_jobs("acme", limit=10) == [added[2], added[0], added[1]]


def test_pages_hold_every_job_once_though_jobs_are_added_meanwhile(jobs: JobStore) -> None:
    # Three jobs share each moment, so that only the job id tells them apart at a page's end.
    expected = {jobs.add(make_job(minute=n // 3)).job_id for n in range(10)}
    seen: list[str] = []
    after = None
    while page := jobs.list_jobs("acme", limit=4, after=after):
        seen += [job.job_id for job in page]
        after = seen[-1]
        jobs.add(make_job(minute=60 + len(seen)))
    assert len(seen) == 10
    assert set(seen) == expected


def test_listing_can_be_limited_to_a_status(jobs: JobStore) -> None:
    jobs.add(make_job())
    failed = [jobs.add(make_job(status=JobStatus.FAILED, minute=minute)) for minute in (2, 1)]
    assert jobs.list_jobs("acme", limit=10, status=JobStatus.FAILED) == failed
    assert jobs.list_jobs("acme", limit=10, status=JobStatus.FAILED, after=failed[0].job_id) == failed[1:]


@pytest.mark.parametrize("owner", [None, "rival"], ids=["unknown", "of another tenant"])
def test_page_after_no_job_of_the_tenant_is_refused(jobs: JobStore, owner: str | None) -> None:
    after = jobs.add(make_job(owner)).job_id if owner else "nonsense"
    with pytest.raises(InvalidOption) as refusal:
        jobs.list_jobs("acme", limit=10, after=after)
    assert refusal.value.field == "after"


def test_a_job_makes_exactly_the_moves_that_exist(jobs: JobStore) -> None:
    for present, to in product(JobStatus, JobStatus):
        job = jobs.add(make_job(status=present))
        may_move = present in MOVES_INTO.get(to, ())
        assert jobs.advance(job.job_id, to) is may_move, f"{present} -> {to}"
        assert jobs.get(job.job_id).status is (to if may_move else present)


def test_move_sets_fields_and_the_time_of_the_last_news(jobs: JobStore) -> None:
    job = jobs.add(make_job())
    failure = JobFailure("empty_upload", "Send a file with bytes in it.")
    notice = Notice("short", "Less than a second.", Span(0.0, 0.5))
    fields = {"failure": failure, "finished_at": NOON, "warnings": (notice,), "duration_s": 0.5}
    assert jobs.advance(job.job_id, JobStatus.FAILED, fields)
    assert jobs.get(job.job_id) == replace(job, status=JobStatus.FAILED, updated_at=EVENING, **fields)


def test_move_that_is_refused_sets_no_field(jobs: JobStore) -> None:
    job = jobs.add(make_job(status=JobStatus.CANCELLED))
    assert not jobs.advance(job.job_id, JobStatus.FAILED, {"duration_s": 1.0})
    assert jobs.get(job.job_id) == job


def test_job_that_is_over_has_an_end(jobs: JobStore) -> None:
    job = jobs.add(make_job())
    jobs.advance(job.job_id, JobStatus.CANCELLED)
    assert jobs.get(job.job_id).finished_at == EVENING


def test_job_that_is_gone_does_not_move(jobs: JobStore) -> None:
    assert not jobs.advance(uuid4().hex, JobStatus.PREPARING)


def test_job_that_is_tried_again_has_neither_end_nor_failure(jobs: JobStore) -> None:
    job = jobs.add(make_job(failure=JobFailure("gone", "Wait."), started_at=NOON, chunks_total=7))
    jobs.advance(job.job_id, JobStatus.FAILED)
    fields = {"restarted_at": EVENING, "started_at": None, "finished_at": None, "failure": None, "warnings": ()}
    assert jobs.advance(job.job_id, JobStatus.QUEUED, fields)
    assert jobs.get(job.job_id) == replace(job, status=JobStatus.QUEUED, updated_at=EVENING, **fields)
    assert list(jobs.unfinished()) == [jobs.get(job.job_id)]
    assert list(jobs.finished_before(EVENING + timedelta(days=1))) == []


def test_job_tried_again_ends_again(jobs: JobStore) -> None:
    job = jobs.add(make_job(status=JobStatus.PARTIAL, finished_at=NOON))
    assert jobs.advance(job.job_id, JobStatus.QUEUED, {"finished_at": None})
    assert not jobs.advance(job.job_id, JobStatus.QUEUED, {"finished_at": None})
    assert jobs.advance(job.job_id, JobStatus.CANCELLED)
    assert jobs.get(job.job_id).finished_at == EVENING


def test_move_raced_by_many_threads_has_one_winner(jobs: JobStore) -> None:
    job = jobs.add(make_job(status=JobStatus.JOINING))
    goals = [JobStatus.SUCCEEDED, JobStatus.PARTIAL, JobStatus.FAILED, JobStatus.CANCELLED] * 4
    with ThreadPoolExecutor(len(goals)) as threads:
        moved = list(threads.map(lambda to: jobs.advance(job.job_id, to), goals))
    assert moved.count(True) == 1
    assert jobs.get(job.job_id).status is goals[moved.index(True)]


def test_move_raced_by_processes_has_one_winner(
    jobs: JobStore, records_url: str, run_together: Callable[..., list[str]]
) -> None:
    job = jobs.add(make_job())
    printed = run_together(ADVANCE, records_url, job.job_id, processes=6)
    assert sorted(printed) == ["False\n"] * 5 + ["True\n"]


def test_job_is_claimed_once_though_the_clock_stands_still(jobs: JobStore) -> None:
    job = jobs.add(make_job(updated_at=EVENING))
    assert jobs.claim(job)
    assert not jobs.claim(job)
    claimed = jobs.get(job.job_id)
    assert EVENING < claimed.updated_at < EVENING + timedelta(seconds=1)
    assert claimed == replace(job, updated_at=claimed.updated_at)
    assert jobs.claim(claimed)
    assert not jobs.claim(claimed)


def test_claimed_job_has_news(jobs: JobStore) -> None:
    job = jobs.add(make_job())
    assert jobs.claim(job)
    assert jobs.get(job.job_id).updated_at == EVENING


def test_job_heard_of_by_a_host_whose_clock_is_ahead_can_be_claimed(jobs: JobStore) -> None:
    ahead = EVENING + timedelta(minutes=1)
    job = jobs.add(make_job(updated_at=ahead))
    assert jobs.claim(job)
    assert not jobs.claim(job)
    assert jobs.get(job.job_id).updated_at > ahead


def test_job_that_never_had_news_can_be_claimed(jobs: JobStore) -> None:
    job = make_job(updated_at=None)
    jobs.add(job)
    assert jobs.claim(job)


def test_job_with_news_since_it_was_read_is_not_claimed(jobs: JobStore) -> None:
    for write in (
        lambda job_id: jobs.update(job_id, {"chunks_total": 3}),
        lambda job_id: jobs.begin_step(job_id, Piece(StepKind.PREPARE)),
        lambda job_id: jobs.advance(job_id, JobStatus.PREPARING),
    ):
        job = jobs.add(make_job())
        write(job.job_id)
        current = jobs.get(job.job_id)
        assert not jobs.claim(job)
        assert jobs.get(job.job_id) == current


def test_job_that_moved_within_the_same_tick_is_not_claimed(jobs: JobStore) -> None:
    job = jobs.add(make_job(updated_at=EVENING))
    jobs.advance(job.job_id, JobStatus.PREPARING)
    assert jobs.get(job.job_id).updated_at == EVENING
    assert not jobs.claim(job)


def test_job_that_is_gone_is_not_claimed(jobs: JobStore) -> None:
    assert not jobs.claim(make_job())


def test_claim_changes_no_other_job(jobs: JobStore) -> None:
    job, other = jobs.add(make_job()), jobs.add(make_job())
    jobs.claim(job)
    assert jobs.get(other.job_id) == other


def test_claim_raced_by_processes_has_one_winner(
    jobs: JobStore, records_url: str, run_together: Callable[..., list[str]]
) -> None:
    job = jobs.add(make_job())
    printed = run_together(CLAIM, records_url, job.job_id, processes=6)
    assert sorted(printed) == ["False\n"] * 5 + ["True\n"]


def test_jobs_at_work_are_counted_for_their_tenant_only(jobs: JobStore) -> None:
    assert jobs.count_active("acme") == 0
    for status in JobStatus:
        jobs.add(make_job(status=status))
        jobs.add(make_job("rival", status=status))
    jobs.add(make_job(status=JobStatus.JOINING))
    assert jobs.count_active("acme") == 4
    assert jobs.count_active("rival") == 3
    assert jobs.count_active("nobody") == 0


def test_queued_jobs_of_a_tenant_come_oldest_first(jobs: JobStore) -> None:
    late, early, middle = (jobs.add(make_job(minute=minute)) for minute in (5, 1, 3))
    jobs.add(make_job("rival", minute=0))
    for status in set(JobStatus) - {JobStatus.QUEUED}:
        jobs.add(make_job(status=status))
    assert jobs.oldest_queued("acme", limit=10) == [early, middle, late]
    assert jobs.oldest_queued("acme", limit=2) == [early, middle]
    assert jobs.oldest_queued("acme", limit=0) == []
    assert jobs.oldest_queued("nobody", limit=10) == []


def test_queued_jobs_of_the_same_moment_have_one_order(jobs: JobStore) -> None:
    added = [jobs.add(make_job()) for _ in range(6)]
    assert [job.job_id for job in jobs.oldest_queued("acme", limit=6)] == sorted(job.job_id for job in added)


def test_ten_processes_writing_at_once_all_get_through(
    jobs: JobStore, records_url: str, run_together: Callable[..., list[str]]
) -> None:
    shared = jobs.add(make_job())
    run_together(WRITE_MUCH, records_url, shared.job_id, processes=10)
    assert jobs.count_by_status()[JobStatus.PREPARING] == 300
    assert [step.deliveries for step in jobs.steps(shared.job_id)] == [10] * 30


def test_update_sets_fields_without_a_move(jobs: JobStore) -> None:
    job = jobs.add(make_job(failure=JobFailure("gone", "Wait.")))
    jobs.update(job.job_id, {"chunks_total": 7, "options": JobOptions(language="fr"), "failure": None})
    expected = replace(job, chunks_total=7, options=JobOptions(language="fr"), failure=None, updated_at=EVENING)
    assert jobs.get(job.job_id) == expected


def test_update_of_a_job_that_is_gone_changes_nothing(jobs: JobStore) -> None:
    jobs.update(uuid4().hex, {"chunks_total": 7})
    assert jobs.list_jobs("acme", limit=10) == []


@pytest.mark.parametrize("name", ["status", "tenant", "job_id", "colour"])
def test_update_refuses_what_is_not_a_field_to_set(jobs: JobStore, name: str) -> None:
    job = jobs.add(make_job())
    with pytest.raises(ValueError, match=name):
        jobs.update(job.job_id, {name: "failed"})


def test_unfinished_jobs_come_oldest_first_and_all_of_them(jobs: JobStore) -> None:
    added = [jobs.add(make_job(minute=n // 2)) for n in range(MORE_THAN_A_PAGE)]
    jobs.add(make_job(status=JobStatus.FAILED))
    found = list(jobs.unfinished())
    assert [job.created_at for job in found] == [job.created_at for job in added]
    assert {job.job_id for job in found} == {job.job_id for job in added}


def test_no_connection_is_held_while_the_caller_works_on_a_job(jobs: JobStore, engine: Engine) -> None:
    for _ in range(2):
        jobs.add(make_job())
        jobs.add(make_job(status=JobStatus.FAILED, finished_at=NOON))
    for iterator in (jobs.unfinished(), jobs.finished_before(EVENING)):
        next(iterator)
        assert engine.pool.checkedout() == 0


def test_finished_jobs_may_be_deleted_while_they_are_read(jobs: JobStore) -> None:
    over = {"status": JobStatus.SUCCEEDED, "finished_at": NOON}
    for _ in range(MORE_THAN_A_PAGE):
        jobs.add(make_job(**over))
    kept = [
        jobs.add(make_job(status=JobStatus.SUCCEEDED, finished_at=EVENING)),
        jobs.add(make_job()),
    ]
    for job in jobs.finished_before(EVENING):
        jobs.delete(job.job_id)
    assert {job.job_id for job in jobs.list_jobs("acme", limit=500)} == {job.job_id for job in kept}


def test_every_status_is_counted(jobs: JobStore) -> None:
    for status in (JobStatus.QUEUED, JobStatus.QUEUED, JobStatus.PARTIAL):
        jobs.add(make_job(status=status))
    counts = jobs.count_by_status()
    assert set(counts) == set(JobStatus)
    assert {status: count for status, count in counts.items() if count} == {
        JobStatus.QUEUED: 2,
        JobStatus.PARTIAL: 1,
    }


def test_existing_jobs_are_told_from_others_however_many_are_asked_for(jobs: JobStore) -> None:
    recorded = {jobs.add(make_job()).job_id for _ in range(3)}
    unknown = [uuid4().hex for _ in range(1000)]
    assert jobs.existing([*unknown, *recorded]) == recorded
    assert jobs.existing([]) == set()


def test_options_of_a_newer_release_are_passed_over(jobs: JobStore, engine: Engine) -> None:
    job = jobs.add(make_job(options=JobOptions(language="de")))
    with writing(engine) as connection:
        connection.execute(update(JOBS).values(options={"language": "de", "dialects": ["Bernese"]}))
    assert jobs.get(job.job_id) == job


def test_status_of_a_newer_release_is_named_and_spoils_no_listing(jobs: JobStore, engine: Engine) -> None:
    newer, known = jobs.add(make_job()), jobs.add(make_job())
    with writing(engine) as connection:
        connection.execute(update(JOBS).where(JOBS.c.job_id == newer.job_id).values(status="translating"))
    with pytest.raises(StorageError, match="translating"):
        jobs.get(newer.job_id)
    assert jobs.list_jobs("acme", limit=10) == [known]
    assert list(jobs.unfinished()) == [known]
    assert sum(jobs.count_by_status().values()) == 1


def test_ping_fails_where_the_tables_are_missing(jobs: JobStore, engine: Engine) -> None:
    jobs.ping()
    with writing(engine) as connection:
        connection.exec_driver_sql("ALTER TABLE jobs RENAME TO elsewhere")
    with pytest.raises(StorageError):
        jobs.ping()
