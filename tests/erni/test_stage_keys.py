"""What shares a cached result and what does not."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest

from erni.chunking import ChunkLimits
from erni.engines.scripted import DIARIZER, TRANSCRIBER
from erni.jobs import Job, JobOptions, JobStatus
from erni.model import Chunk, Plan, Span
from erni.stage_keys import STAGE_VERSIONS, StageKey, StageKeys

JOB = Job("0" * 32, "acme", JobStatus.QUEUED, JobOptions(), datetime(2026, 1, 1, tzinfo=UTC), "digest", 1)
CHUNK = Chunk(0, Span(0, 60), Span(0, 59), digest="chunk")
PLAN = Plan(60.0, (Span(0, 60),), (CHUNK,), audio_digest="audio")
LIMITS = ChunkLimits(60.0, 90.0, 2.0, 0.2)


def keys_of(job: Job, *, is_shared: bool = False) -> StageKeys:
    return StageKeys(job, is_shared=is_shared)


def prepare(job: Job) -> StageKey:
    return keys_of(job).prepare(LIMITS)


def transcribe(job: Job) -> StageKey:
    return keys_of(job).transcribe(CHUNK, TRANSCRIBER)


def diarize(job: Job) -> StageKey:
    return keys_of(job).diarize(PLAN, DIARIZER, by_chunk=False)


def embed(job: Job) -> StageKey:
    return keys_of(job).embed(PLAN, CHUNK, DIARIZER)


def whole(job: Job) -> StageKey:
    return keys_of(job).whole(prepare(job), TRANSCRIBER, DIARIZER)


def with_options(**options: Any) -> Job:
    return replace(JOB, options=replace(JOB.options, **options))


def align(job: Job) -> StageKey:
    return keys_of(job).align(transcribe(job), "aligner")


def one_shot(job: Job) -> StageKey:
    return keys_of(job).one_shot(PLAN, TRANSCRIBER)


STAGES = (prepare, transcribe, align, embed, diarize, one_shot, whole)


@pytest.mark.parametrize("stage", STAGES)
def test_another_job_with_the_same_content_has_the_same_key(stage: Callable[[Job], StageKey]) -> None:
    other = replace(JOB, job_id="1" * 32, filename="other.wav", options=JobOptions(metadata={"team": "search"}))
    assert stage(JOB) == stage(other)


def test_the_keys_of_the_stages_differ() -> None:
    assert len({stage(JOB).own for stage in STAGES}) == len(STAGE_VERSIONS) == len(STAGES)


@pytest.mark.parametrize(
    ("options", "changed"),
    [
        ({"num_speakers": 2}, {diarize, one_shot, whole}),
        ({"max_speakers": 2}, {diarize, whole}),
        ({"join": "overlap"}, {whole}),
        ({"language": "en"}, {transcribe, align, one_shot, whole}),
        ({"prompt": "Erni"}, {transcribe, align, one_shot, whole}),
        ({"keywords": ("Erni",)}, {transcribe, align, whole}),
        ({"completion": "poll"}, set()),
        ({"max_usd": 1.0}, set()),
        ({"on_gap": "fail"}, set()),
        ({"fallback": ("other",)}, set()),
        ({"deadline_s": 60.0}, set()),
    ],
)
def test_an_option_changes_the_keys_of_the_stages_it_affects(
    options: dict[str, Any], changed: set[Callable[[Job], StageKey]]
) -> None:
    job = with_options(**options)
    assert {stage for stage in STAGES if stage(job) != stage(JOB)} == changed


@pytest.mark.parametrize("stage", STAGES)
def test_tenants_do_not_share_unless_a_setting_says_so(stage: Callable[[Job], StageKey]) -> None:
    assert stage(JOB) != stage(replace(JOB, tenant="rival"))


def test_with_the_setting_they_share() -> None:
    rival = replace(JOB, tenant="rival")
    shared = [keys_of(job, is_shared=True).transcribe(CHUNK, TRANSCRIBER) for job in (JOB, rival)]
    assert shared[0] == shared[1]


@pytest.mark.parametrize(
    "engine",
    [
        replace(TRANSCRIBER, model="other"),
        replace(TRANSCRIBER, fingerprint="beam=5"),
        replace(TRANSCRIBER, engine="other"),
    ],
)
def test_another_engine_model_or_setting_has_another_key(engine: Any) -> None:
    assert keys_of(JOB).transcribe(CHUNK, engine) != transcribe(JOB)


def test_other_audio_has_another_key() -> None:
    assert keys_of(JOB).transcribe(replace(CHUNK, digest="other"), TRANSCRIBER) != transcribe(JOB)
    assert keys_of(JOB).diarize(replace(PLAN, audio_digest="other"), DIARIZER, by_chunk=False) != diarize(JOB)
    assert prepare(replace(JOB, source_digest="other")) != prepare(JOB)
    assert keys_of(JOB).embed(PLAN, replace(CHUNK, digest="other"), DIARIZER) != embed(JOB)


def test_other_known_voices_are_another_question_to_a_diarizer() -> None:
    keys = keys_of(JOB)
    assert keys.diarize(PLAN, DIARIZER, by_chunk=False, voices=("a",)) != diarize(JOB)


def test_another_aligner_gives_other_times() -> None:
    assert keys_of(JOB).align(transcribe(JOB), "another") != align(JOB)


def test_a_recording_in_one_piece_is_prepared_apart() -> None:
    assert keys_of(JOB).prepare(None) != prepare(JOB)


def test_where_the_cuts_are_matters_to_a_diarizer_by_chunk_alone() -> None:
    moved = replace(PLAN, chunks=(replace(CHUNK, own=Span(0.0, 1.0)),))
    keys = keys_of(JOB)
    assert keys.diarize(moved, DIARIZER, by_chunk=False) == diarize(JOB)
    assert keys.diarize(moved, DIARIZER, by_chunk=True) != keys.diarize(PLAN, DIARIZER, by_chunk=True)


@pytest.mark.parametrize("stage", STAGES)
def test_a_bypassing_job_shares_with_nobody(stage: Callable[[Job], StageKey]) -> None:
    bypassing = with_options(cache="bypass")
    assert stage(bypassing).own != stage(JOB).own
    assert stage(bypassing).own != stage(replace(bypassing, job_id="1" * 32)).own
    assert stage(bypassing).published is None


@pytest.mark.parametrize("stage", STAGES)
def test_a_refreshing_job_finds_nothing_but_publishes_for_others(stage: Callable[[Job], StageKey]) -> None:
    refreshing = with_options(cache="refresh")
    assert stage(refreshing).own != stage(JOB).own
    assert stage(refreshing).published == stage(JOB).own
