"""What the sweeper decides for an abandoned job, from its record, plan, steps and results."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

import pytest

from erni.jobs import Job, JobOptions, JobStatus, Piece, Step, StepKind, StepStatus
from erni.model import Chunk, Plan, Span
from erni.steps.pieces import DIARIZATION, Missing
from erni.steps.sweeping import Remedy, choose_remedy

NOW = datetime(2026, 1, 1, tzinfo=UTC)
JOB = Job("0" * 32, "default", JobStatus.PROCESSING, JobOptions(), NOW, "digest", 1)
SPANS = [Span(0.0, 60.0), Span(60.0, 120.0), Span(120.0, 150.0)]
PLAN = Plan(150.0, tuple(SPANS), tuple(Chunk(index, span, span) for index, span in enumerate(SPANS)))


CHUNKS = [Piece(StepKind.TRANSCRIBE, index) for index in range(3)]


def step(kind: StepKind, part: int, status: StepStatus) -> Step:
    return Step(JOB.job_id, kind, part, status, 1, NOW)


@pytest.mark.parametrize("status", [JobStatus.QUEUED, JobStatus.PREPARING])
def test_a_job_not_yet_fanned_out_is_prepared_again(status: JobStatus) -> None:
    assert choose_remedy(replace(JOB, status=status), PLAN, [], frozenset()) == Remedy("prepare")


def test_a_job_whose_plan_is_gone_is_prepared_again() -> None:
    assert choose_remedy(JOB, None, [], frozenset()) == Remedy("prepare")


def test_only_pieces_without_a_result_are_sent_again() -> None:
    remedy = choose_remedy(JOB, PLAN, [], frozenset({CHUNKS[1], DIARIZATION}))
    assert remedy == Remedy("fan_out", Missing((0, 2), diarize=False))


def test_a_piece_that_failed_for_good_is_not_sent_again() -> None:
    steps = [step(StepKind.TRANSCRIBE, 0, "failed"), step(StepKind.DIARIZE, 0, "failed")]
    assert choose_remedy(JOB, PLAN, steps, frozenset()) == Remedy("fan_out", Missing((1, 2), diarize=False))


def test_a_piece_still_marked_running_is_sent_again() -> None:
    steps = [step(StepKind.TRANSCRIBE, 1, "running")]
    results = frozenset({CHUNKS[0], CHUNKS[2], DIARIZATION})
    assert choose_remedy(JOB, PLAN, steps, results) == Remedy("fan_out", Missing((1,), diarize=False))


def test_a_job_whose_pieces_are_all_there_is_finished() -> None:
    results = frozenset({*CHUNKS, DIARIZATION})
    assert choose_remedy(JOB, PLAN, [], results) == Remedy("finish")


def test_a_missing_diarization_alone_is_sent_again() -> None:
    results = frozenset(CHUNKS)
    assert choose_remedy(JOB, PLAN, [], results) == Remedy("fan_out", Missing((), diarize=True))


def test_a_job_without_diarizer_does_not_wait_for_one() -> None:
    job = replace(JOB, options=JobOptions(diarizer=None))
    results = frozenset(CHUNKS)
    assert choose_remedy(job, PLAN, [], results) == Remedy("finish")


def test_a_recording_without_speech_is_finished() -> None:
    assert choose_remedy(JOB, Plan(5.0, (), ()), [], frozenset()) == Remedy("finish")


def test_a_broken_off_join_is_finished() -> None:
    joining = replace(JOB, status=JobStatus.JOINING)
    assert choose_remedy(joining, PLAN, [], frozenset({*CHUNKS, DIARIZATION})) == Remedy("finish")
