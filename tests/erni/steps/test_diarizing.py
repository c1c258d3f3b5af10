"""A diarizer that works by chunk: voices beside the transcription, told apart by the join."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import timedelta
from itertools import pairwise

import numpy as np
import pytest

from erni import blob_paths, codec
from erni.capabilities import DiarizerCapabilities
from erni.engine_ports import EmbeddingRequest
from erni.engines.scripted import ScriptedChunkedDiarizer
from erni.errors import DocumentDamaged, EngineRejected, JobConflict
from erni.jobs import Job, JobStatus, Piece, StepKind
from erni.model import Diarization, Transcript
from erni.ports import FanOut, Lane
from erni.services import Services
from erni.speaker_voices import dump_speaker_voices, load_speaker_voices
from erni.steps.diarizing import diarize_job, embed_chunk
from erni.steps.finishing import finish_job
from erni.steps.heard_voices import find_speaker_voices
from erni.steps.pieces import DIARIZATION
from erni.steps.preparing import prepare_job
from erni.steps.recognising import transcribe_chunk
from erni.steps.restarting import retry_job
from erni.steps.shortfalls import VOICES_UNHEARD
from erni.steps.sweeping import sweep_jobs
from erni.steps.working import give_up_piece
from erni.voices import Voices

Submit = Callable[..., Job]
DIMENSIONS = 64
CHANGE_S = 45.0
"""Another voice from here on."""


@dataclass
class Listener:
    """Hears one voice before ``CHANGE_S`` and another one behind; notes the chunks, and refuses some."""

    heard: list[float] = field(default_factory=list)
    refused_from_s: float = float("inf")

    def __call__(self, request: EmbeddingRequest) -> Voices:
        self.heard.append(request.offset_s)
        if request.offset_s >= self.refused_from_s:
            raise EngineRejected("It heard nothing.")
        starts = np.concatenate([np.arange(span.start_s, span.end_s, 0.6) for span in request.speech])
        voice = np.where(starts[:, None] < CHANGE_S, np.eye(1, DIMENSIONS, 0), np.eye(1, DIMENSIONS, 1))
        noise = np.random.default_rng(int(request.offset_s)).normal(0.0, 0.3 / DIMENSIONS**0.5, voice.shape)
        windows = np.stack([starts, starts + 0.6], axis=1)
        return Voices("scripted", "script", windows, (voice + noise).astype(np.float32), engine_s=1.0)


@pytest.fixture
def listener() -> Listener:
    return Listener()


@pytest.fixture
def chunked(services: Services, listener: Listener) -> Services:
    return replace(services, diarizers={"scripted": ScriptedChunkedDiarizer(listener)})


def work_off(services: Services, job: Job) -> None:
    for index in range(services.jobs.get(job.job_id).chunks_total or 0):
        transcribe_chunk(services, job.job_id, index)
        embed_chunk(services, job.job_id, index)


def run_all(services: Services, job: Job) -> Job:
    prepare_job(services, job.job_id)
    work_off(services, job)
    finish_job(services, job.job_id)
    return services.jobs.get(job.job_id)


def transcript_of(services: Services, job: Job) -> Transcript:
    return codec.load_transcript(services.blobs.get_bytes(blob_paths.transcript(job.job_id)))


def turns_of(services: Services, job: Job) -> Diarization:
    return codec.load_diarization(services.blobs.get_bytes(blob_paths.turns(job.job_id)))


def lanes_of(queue: object, kind: StepKind) -> list[Lane]:
    return [lane for lane in queue.sent[-1][2].lanes if lane.kind is kind]  # type: ignore[attr-defined]  # NotingQueue


def test_voices_of_every_chunk_become_speakers(chunked: Services, submit: Submit, queue: object) -> None:
    job = submit()
    prepare_job(chunked, job.job_id)
    assert len(lanes_of(queue, StepKind.EMBED)) == len(lanes_of(queue, StepKind.TRANSCRIBE)) == 2
    assert not queue.sent[-1][2].whole  # type: ignore[attr-defined]  # NotingQueue
    work_off(chunked, job)
    finish_job(chunked, job.job_id)
    done = chunked.jobs.get(job.job_id)
    assert (done.status, done.warnings) == (JobStatus.SUCCEEDED, ())
    transcript = transcript_of(chunked, done)
    before = {word.speaker for word in transcript.words if word.end_s < CHANGE_S - 2}
    behind = {word.speaker for word in transcript.words if word.start_s > CHANGE_S + 2}
    assert (before, behind) == ({"speaker_1"}, {"speaker_2"})
    assert turns_of(chunked, done).engine_s >= (done.chunks_total or 0)


def test_each_chunk_is_asked_for_its_own_speech_alone(chunked: Services, submit: Submit, listener: Listener) -> None:
    done = run_all(chunked, submit())
    assert sorted(listener.heard) == listener.heard
    assert len(set(listener.heard)) == done.chunks_total
    turns = turns_of(chunked, done).turns
    assert all(before.end_s <= after.start_s + 0.001 for before, after in pairwise(turns))


def test_an_exact_speaker_count_is_kept_over_all_chunks(chunked: Services, submit: Submit) -> None:
    done = run_all(chunked, submit(num_speakers=3))
    assert len({turn.speaker for turn in turns_of(chunked, done).turns}) == 3


def test_another_speaker_count_listens_to_nothing_again(chunked: Services, submit: Submit, listener: Listener) -> None:
    run_all(chunked, submit())
    heard = len(listener.heard)
    run_all(chunked, submit(num_speakers=1))
    assert len(listener.heard) == heard


def test_turns_known_from_before_need_no_voices(chunked: Services, submit: Submit, queue: object) -> None:
    run_all(chunked, submit())
    other = submit(join="overlap")
    prepare_job(chunked, other.job_id)
    assert lanes_of(queue, StepKind.EMBED) == []
    for index in range(chunked.jobs.get(other.job_id).chunks_total or 0):
        transcribe_chunk(chunked, other.job_id, index)
    finish_job(chunked, other.job_id)
    assert chunked.jobs.get(other.job_id).status is JobStatus.SUCCEEDED
    assert transcript_of(chunked, other).speakers == ("speaker_1", "speaker_2")


def test_the_join_waits_for_the_last_voice(chunked: Services, submit: Submit) -> None:
    job = submit()
    prepare_job(chunked, job.job_id)
    total = chunked.jobs.get(job.job_id).chunks_total or 0
    for index in range(total):
        transcribe_chunk(chunked, job.job_id, index)
    for index in range(total - 1):
        embed_chunk(chunked, job.job_id, index)
    finish_job(chunked, job.job_id)
    assert chunked.jobs.get(job.job_id).status is JobStatus.PROCESSING
    embed_chunk(chunked, job.job_id, total - 1)
    finish_job(chunked, job.job_id)
    assert chunked.jobs.get(job.job_id).status is JobStatus.SUCCEEDED


def test_the_sweeper_sends_voices_that_got_lost(
    chunked: Services, submit: Submit, queue: object, clock: object
) -> None:
    job = submit()
    prepare_job(chunked, job.job_id)
    for index in range(chunked.jobs.get(job.job_id).chunks_total or 0):
        transcribe_chunk(chunked, job.job_id, index)
    embed_chunk(chunked, job.job_id, 0)
    clock.now += timedelta(minutes=2)  # type: ignore[attr-defined]  # Clock
    assert sweep_jobs(chunked) == 1
    assert 0 not in {lane.chunk for lane in lanes_of(queue, StepKind.EMBED)}
    assert len(lanes_of(queue, StepKind.EMBED)) == 2
    assert lanes_of(queue, StepKind.TRANSCRIBE) == []


def test_a_chunk_whose_voices_fail_is_said_and_has_the_speakers_around_it(
    chunked: Services, submit: Submit, listener: Listener
) -> None:
    listener.refused_from_s = 60.0
    job = submit()
    done = run_all(chunked, job)
    assert done.status is JobStatus.SUCCEEDED
    assert {notice.code for notice in done.warnings} == {VOICES_UNHEARD}
    assert all(notice.span is not None and notice.span.start_s >= CHANGE_S for notice in done.warnings)
    words = transcript_of(chunked, done).words
    assert words[-1].speaker == "speaker_2"
    listener.refused_from_s = float("inf")
    heard = len(listener.heard)
    retry_job(chunked, job.job_id)
    again = run_all(chunked, job)
    assert (again.status, again.warnings) == (JobStatus.SUCCEEDED, ())
    assert 0 < len(listener.heard) - heard < (done.chunks_total or 0)


def test_no_voices_at_all_leave_a_transcript_without_speakers(
    chunked: Services, submit: Submit, listener: Listener
) -> None:
    listener.refused_from_s = 0.0
    done = run_all(chunked, submit())
    assert done.status is JobStatus.SUCCEEDED
    assert "diarization_failed" in {notice.code for notice in done.warnings}
    assert transcript_of(chunked, done).speakers == ()


def test_voices_that_nobody_here_can_hear_are_a_gap(services: Services, submit: Submit) -> None:
    job = submit()
    prepare_job(services, job.job_id)
    assert embed_chunk(services, job.job_id, 0) == "gap"
    step = services.jobs.find_step(job.job_id, Piece(StepKind.EMBED, 0))
    assert step is not None
    assert "not set up" in (step.reason or "")


def test_a_diarizer_of_chunks_takes_the_whole_where_it_is_sent_so(chunked: Services, submit: Submit) -> None:
    job = submit()
    prepare_job(chunked, job.job_id)
    assert diarize_job(chunked, job.job_id) == "ok"
    assert {turn.speaker for turn in turns_of(chunked, job).turns} == {"SPEAKER_00", "SPEAKER_01"}


def test_a_chunk_listened_to_is_not_listened_to_again(chunked: Services, submit: Submit, listener: Listener) -> None:
    job = submit()
    prepare_job(chunked, job.job_id)
    assert [embed_chunk(chunked, job.job_id, 0) for _ in range(2)] == ["ok", "ok"]
    assert len(listener.heard) == 1
    step = chunked.jobs.find_step(job.job_id, Piece(StepKind.EMBED, 0))
    assert step is not None
    assert step.engine == "scripted"


@pytest.fixture
def other() -> Listener:
    """What the diarizer that takes over hears."""
    return Listener()


@pytest.fixture
def two(chunked: Services, other: Listener) -> Services:
    """Two diarizers that work by chunk."""
    following = ScriptedChunkedDiarizer(other, DiarizerCapabilities("other", "script"))
    return replace(chunked, diarizers={**chunked.diarizers, "other": following})


def fail_all_voices(services: Services, submit: Submit, listener: Listener) -> Job:
    """A job up to its join, with another diarizer to fall back to, none of whose chunks could be heard."""
    listener.refused_from_s = 0.0
    job = submit(diarizer_fallback=("other",))
    prepare_job(services, job.job_id)
    work_off(services, job)
    finish_job(services, job.job_id)
    return services.jobs.get(job.job_id)


def test_where_no_voice_could_be_heard_the_next_diarizer_is_sent_for(
    two: Services, submit: Submit, listener: Listener, other: Listener, queue: object
) -> None:
    job = fail_all_voices(two, submit, listener)
    assert (job.status, other.heard) == (JobStatus.PROCESSING, [])
    assert queue.sent[-1] == ("fan_out", job.job_id, FanOut((), (DIARIZATION,)))  # type: ignore[attr-defined]  # NotingQueue
    assert diarize_job(two, job.job_id) == "ok"
    finish_job(two, job.job_id)
    done = two.jobs.get(job.job_id)
    assert (done.status, done.warnings, len(other.heard)) == (JobStatus.SUCCEEDED, (), 1)
    assert transcript_of(two, done).speakers == ("speaker_1", "speaker_2")


def test_voices_of_pieces_that_hung_are_not_missed_once_another_diarizer_heard_the_whole(
    two: Services, submit: Submit
) -> None:
    job = submit(diarizer_fallback=("other",))
    prepare_job(two, job.job_id)
    for index in range(two.jobs.get(job.job_id).chunks_total or 0):
        transcribe_chunk(two, job.job_id, index)
        give_up_piece(two, job.job_id, Piece(StepKind.EMBED, index), "It did not end within its limit.")
    finish_job(two, job.job_id)
    assert diarize_job(two, job.job_id) == "ok"
    finish_job(two, job.job_id)
    done = two.jobs.get(job.job_id)
    assert (done.status, done.warnings) == (JobStatus.SUCCEEDED, ())


def test_the_join_waits_for_the_diarizer_that_took_over(
    two: Services, submit: Submit, listener: Listener, queue: object
) -> None:
    job = fail_all_voices(two, submit, listener)
    sent = len(queue.sent)  # type: ignore[attr-defined]  # NotingQueue
    finish_job(two, job.job_id)
    assert two.jobs.get(job.job_id).status is JobStatus.PROCESSING
    assert len(queue.sent) == sent  # type: ignore[attr-defined]  # NotingQueue


def test_the_sweeper_sends_for_the_next_diarizer_where_the_join_died_before_it_could(
    two: Services, submit: Submit, listener: Listener, queue: object, clock: object
) -> None:
    job = fail_all_voices(two, submit, listener)
    queue.sent.clear()  # type: ignore[attr-defined]  # NotingQueue
    clock.now += timedelta(minutes=2)  # type: ignore[attr-defined]  # Clock
    assert sweep_jobs(two) == 1
    assert queue.sent == [("fan_out", job.job_id, FanOut((), (DIARIZATION,)))]  # type: ignore[attr-defined]  # NotingQueue


def test_where_the_next_diarizer_fails_as_well_the_transcript_says_what_each_said(
    two: Services, submit: Submit, listener: Listener, other: Listener
) -> None:
    other.refused_from_s = 0.0
    job = fail_all_voices(two, submit, listener)
    assert diarize_job(two, job.job_id) == "gap"
    finish_job(two, job.job_id)
    done = two.jobs.get(job.job_id)
    (failed,) = (notice for notice in done.warnings if notice.code == "diarization_failed")
    assert done.status is JobStatus.SUCCEEDED
    assert "scripted: The voices of no chunk" in failed.message
    assert "other: It heard nothing." in failed.message


def test_a_job_whose_speakers_another_diarizer_found_lacks_nothing(
    two: Services, submit: Submit, listener: Listener
) -> None:
    job = fail_all_voices(two, submit, listener)
    diarize_job(two, job.job_id)
    finish_job(two, job.job_id)
    with pytest.raises(JobConflict):
        retry_job(two, job.job_id)


def test_how_the_speakers_sound_is_kept_encrypted(chunked: Services, submit: Submit) -> None:
    job = run_all(chunked, submit())
    stored = chunked.blobs.get_bytes(blob_paths.speaker_voices(job.job_id))
    with pytest.raises(DocumentDamaged):
        load_speaker_voices(stored)
    kept = find_speaker_voices(chunked, job.job_id)
    assert kept is not None
    assert sorted(kept.by_speaker) == sorted({turn.speaker for turn in turns_of(chunked, job).turns})


def test_voices_kept_unencrypted_by_an_older_release_are_read(chunked: Services, submit: Submit) -> None:
    job = run_all(chunked, submit())
    kept = find_speaker_voices(chunked, job.job_id)
    assert kept is not None
    chunked.blobs.put_bytes(blob_paths.speaker_voices(job.job_id), dump_speaker_voices(kept))
    read = find_speaker_voices(chunked, job.job_id)
    assert read is not None
    assert read.by_speaker.keys() == kept.by_speaker.keys()
