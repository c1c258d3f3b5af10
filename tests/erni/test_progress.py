"""Progress and timings, derived from a job and its steps."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from erni.jobs import Job, JobOptions, JobStatus, Savings, Step, StepKind
from erni.progress import Reuse, Waiting, describe_progress

START = datetime(2026, 1, 1, tzinfo=UTC)
JOB = Job(
    job_id="0" * 32,
    tenant="default",
    status=JobStatus.PROCESSING,
    options=JobOptions(),
    created_at=START,
    source_digest="d",
    source_bytes=1,
    started_at=START + timedelta(seconds=1),
    chunks_total=4,
)


def step(kind: StepKind, part: int, start_s: float, end_s: float | None, engine_s: float | None = None) -> Step:
    return Step(
        job_id=JOB.job_id,
        kind=kind,
        part=part,
        status="running" if end_s is None else "ok",
        deliveries=1,
        started_at=START + timedelta(seconds=start_s),
        finished_at=None if end_s is None else START + timedelta(seconds=end_s),
        engine_s=engine_s,
    )


def after(seconds: float) -> datetime:
    return START + timedelta(seconds=seconds)


def test_progress_never_goes_back_while_a_job_advances() -> None:
    chunks = [step(StepKind.TRANSCRIBE, part, 2, 3) for part in range(4)]
    stages = [
        (replace(JOB, status=JobStatus.QUEUED), []),
        (replace(JOB, status=JobStatus.PREPARING), []),
        (JOB, []),
        *[(JOB, chunks[:count]) for count in range(1, 5)],
        (JOB, [*chunks, step(StepKind.DIARIZE, 0, 2, 5)]),
        (replace(JOB, status=JobStatus.JOINING), chunks),
        (replace(JOB, status=JobStatus.SUCCEEDED), chunks),
    ]
    fractions = [describe_progress(job, steps, after(9)).fraction for job, steps in stages]
    assert fractions == sorted(fractions)
    assert fractions[0] == 0.0
    assert fractions[-1] == 1.0


def test_voices_heard_chunk_by_chunk_count_as_progress() -> None:
    voices = [step(StepKind.EMBED, part, 2, 3) for part in range(4)]
    fractions = [describe_progress(JOB, voices[:count], after(9)).fraction for count in range(5)]
    assert fractions == sorted(set(fractions))
    whole = describe_progress(JOB, [step(StepKind.DIARIZE, 0, 2, 5)], after(9)).fraction
    assert fractions[-1] == whole


@pytest.mark.parametrize(("done", "stage"), [(0, "transcribe"), (3, "transcribe"), (4, "diarize")])
def test_the_stage_names_what_is_awaited(done: int, stage: str) -> None:
    steps = [step(StepKind.TRANSCRIBE, part, 2, 3) for part in range(done)]
    assert describe_progress(JOB, steps, after(9)).stage == stage


def test_a_job_that_is_over_has_no_stage() -> None:
    assert describe_progress(replace(JOB, status=JobStatus.FAILED), [], after(9)).stage is None


def test_only_finished_chunks_are_counted_as_done() -> None:
    steps = [step(StepKind.TRANSCRIBE, 0, 2, 3), step(StepKind.TRANSCRIBE, 1, 2, None)]
    progress = describe_progress(JOB, steps, after(9))
    assert (progress.chunks_done, progress.chunks_total) == (1, 4)


def test_a_stages_time_is_from_its_first_begin_to_its_last_end() -> None:
    steps = [step(StepKind.TRANSCRIBE, 0, 2, 5, 2.5), step(StepKind.TRANSCRIBE, 1, 3, 8.25, 5.0)]
    timings = describe_progress(replace(JOB, finished_at=after(9.5)), steps, after(99)).timings
    assert timings["queue_s"] == 1.0
    assert timings["transcribe_s"] == 6.25
    assert timings["transcribe_engine_s"] == 7.5
    assert timings["total_s"] == 9.5


def test_a_job_without_chunks_waits_for_nothing() -> None:
    job = replace(JOB, chunks_total=0, options=JobOptions(diarizer=None))
    assert describe_progress(job, [], after(9)).fraction == pytest.approx(0.95)


def waiting_step(part: int, until_s: float, reason: str | None) -> Step:
    return replace(step(StepKind.TRANSCRIBE, part, 2, None), attempts=1, retry_at=after(until_s), reason=reason)


def test_of_pieces_that_wait_the_one_tried_again_first_is_told() -> None:
    steps = [waiting_step(0, 30, "Out."), waiting_step(1, 20, "Asked too often."), waiting_step(2, 25, "Out.")]
    progress = describe_progress(JOB, steps, after(9))
    assert progress.waiting == Waiting(after(20), "Asked too often.")
    assert (progress.chunks_done, progress.stage) == (0, "transcribe")


def test_a_piece_whose_time_has_come_waits_no_more() -> None:
    steps = [waiting_step(0, 9, "Out."), waiting_step(1, 8, "Out.")]
    assert describe_progress(JOB, steps, after(9)).waiting is None


def test_a_piece_that_is_over_does_not_wait() -> None:
    ended = replace(waiting_step(0, 30, "Out."), status="gap", finished_at=after(5))
    assert describe_progress(JOB, [ended], after(9)).waiting is None


def test_a_job_that_is_over_waits_for_nothing_any_more() -> None:
    job = replace(JOB, status=JobStatus.CANCELLED)
    assert describe_progress(job, [waiting_step(0, 30, "Out.")], after(9)).waiting is None


def test_reused_pieces_are_counted_by_kind_and_their_savings_summed() -> None:
    saved = Savings(engine_s=1.5, usd=0.006)
    steps = [
        replace(step(StepKind.PREPARE, 0, 1, 2), savings=Savings()),
        replace(step(StepKind.TRANSCRIBE, 0, 2, 3), savings=saved),
        replace(step(StepKind.TRANSCRIBE, 1, 2, 3), savings=saved),
        step(StepKind.TRANSCRIBE, 2, 2, 3),
        step(StepKind.DIARIZE, 0, 2, 3),
    ]
    assert describe_progress(JOB, steps, after(9)).reused == Reuse(prepare=1, transcribe=2, engine_s=3.0, usd=0.012)


def test_a_reused_join_means_the_whole_job() -> None:
    steps = [replace(step(StepKind.JOIN, 0, 1, 2), savings=Savings(engine_s=9.0))]
    assert describe_progress(JOB, steps, after(9)).reused == Reuse(job=1, engine_s=9.0)


def test_the_timings_of_a_restarted_job_leave_the_pause_before_it_out() -> None:
    job = replace(JOB, restarted_at=after(1000), started_at=after(1002), finished_at=after(1010))
    steps = [
        step(StepKind.PREPARE, 0, 1, 2),
        step(StepKind.TRANSCRIBE, 0, 2, 4, 2.0),
        step(StepKind.TRANSCRIBE, 1, 1003, 1006, 2.5),
    ]
    assert describe_progress(job, steps, after(2000)).timings == {
        "queue_s": 2.0,
        "transcribe_s": 3.0,
        "transcribe_engine_s": 2.5,
        "total_s": 10.0,
    }
