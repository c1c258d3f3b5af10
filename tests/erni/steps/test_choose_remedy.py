"""What the sweeper decides for an abandoned job, from its record, plan, steps and results."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

import pytest

from erni.jobs import Job, JobOptions, JobStatus, Piece, Step, StepKind, StepStatus
from erni.steps.pieces import DIARIZATION, Missing
from erni.steps.sweeping import Remedy, choose_remedy

NOW = datetime(2026, 1, 1, tzinfo=UTC)
JOB = Job("0" * 32, "default", JobStatus.PROCESSING, JobOptions(), NOW, "digest", 1)
CHUNKS = [Piece(StepKind.TRANSCRIBE, index) for index in range(3)]
VOICES = [Piece(StepKind.EMBED, index) for index in range(3)]
WANTED = [*CHUNKS, DIARIZATION]


def step(kind: StepKind, part: int, status: StepStatus) -> Step:
    return Step(JOB.job_id, kind, part, status, 1, NOW)


@pytest.mark.parametrize("status", [JobStatus.QUEUED, JobStatus.PREPARING])
def test_a_job_not_yet_fanned_out_is_prepared_again(status: JobStatus) -> None:
    assert choose_remedy(replace(JOB, status=status), WANTED, [], frozenset()) == Remedy("prepare")


def test_only_pieces_without_a_result_are_sent_again() -> None:
    remedy = choose_remedy(JOB, WANTED, [], frozenset({CHUNKS[1], DIARIZATION}))
    assert remedy == Remedy("fan_out", Missing((CHUNKS[0], CHUNKS[2])))


def test_a_piece_that_failed_for_good_is_not_sent_again() -> None:
    steps = [step(StepKind.TRANSCRIBE, 0, "failed"), step(StepKind.DIARIZE, 0, "failed")]
    assert choose_remedy(JOB, WANTED, steps, frozenset()) == Remedy("fan_out", Missing((CHUNKS[1], CHUNKS[2])))


def test_a_piece_still_marked_running_is_sent_again() -> None:
    steps = [step(StepKind.TRANSCRIBE, 1, "running")]
    results = frozenset({CHUNKS[0], CHUNKS[2], DIARIZATION})
    assert choose_remedy(JOB, WANTED, steps, results) == Remedy("fan_out", Missing((CHUNKS[1],)))


def test_a_job_whose_pieces_are_all_there_is_finished() -> None:
    results = frozenset({*CHUNKS, DIARIZATION})
    assert choose_remedy(JOB, WANTED, [], results) == Remedy("finish")


def test_a_missing_diarization_alone_is_sent_again() -> None:
    results = frozenset(CHUNKS)
    assert choose_remedy(JOB, WANTED, [], results) == Remedy("fan_out", Missing((DIARIZATION,)))


def test_voices_not_heard_yet_are_sent_again_beside_the_chunks() -> None:
    steps = [step(StepKind.EMBED, 0, "failed")]
    remedy = choose_remedy(JOB, [*CHUNKS, *VOICES], steps, frozenset({*CHUNKS[1:], VOICES[2]}))
    assert remedy == Remedy("fan_out", Missing((CHUNKS[0], VOICES[1])))
    assert str(remedy) == "fan_out 1 transcribe, 1 embed"


def test_a_job_of_which_nothing_is_wanted_is_finished() -> None:
    assert choose_remedy(JOB, [], [], frozenset()) == Remedy("finish")


def test_a_broken_off_join_is_finished() -> None:
    joining = replace(JOB, status=JobStatus.JOINING)
    assert choose_remedy(joining, WANTED, [], frozenset({*CHUNKS, DIARIZATION})) == Remedy("finish")
