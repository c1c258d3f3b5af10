"""Enrolling a voice: accepted with a recording or a speaker of a finished job, made on a worker, forgotten on request.

What a voice was enrolled from is deleted as soon as the voiceprint is made, or cannot be.
"""

from __future__ import annotations

import json
import uuid
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta
from typing import Final

import structlog

from erni import blob_paths, codec
from erni.errors import (
    BlobNotFound,
    ConfigError,
    DocumentDamaged,
    EmptyUpload,
    EngineError,
    InputError,
    InvalidOption,
    JobNotFound,
    QueueUnavailable,
    StorageError,
    TranscriptNotReady,
    VoiceprintNotFound,
    WorkPostponed,
)
from erni.jobs import JobStatus
from erni.keys import ApiKey
from erni.services import Services
from erni.steps.accepting import Upload
from erni.steps.voice_making import make_prints
from erni.steps.voice_vendors import RETRY_S, explain_missing
from erni.voiceprints import Voiceprint, VoiceprintStatus

log = structlog.get_logger(__name__)

SOURCE_GONE: Final = "The recording this voice was to be enrolled from is gone. Enrol it again."


@dataclass(frozen=True, slots=True)
class JobSpeaker:
    """A speaker of a finished job, by the transcript's id of him."""

    job_id: str
    speaker: str


@dataclass(frozen=True, slots=True)
class Enrolment:
    """All a caller sends to enrol a voice. Without ``expires_in_days`` it is kept as long as any may be."""

    name: str
    consent: str
    source: Upload | JobSpeaker
    expires_in_days: float | None = None


def accept_enrolment(services: Services, enrolment: Enrolment, caller: ApiKey) -> Voiceprint:
    """Store what the voice is to be made from, and record it as pending. Consumes an uploaded file.

    Raises:
        EmptyUpload: the upload has no bytes.
        JobNotFound, TranscriptNotReady: there is no such job of the caller's tenant, or it has no transcript.
        InvalidOption: the job's transcript has no such speaker.
        StorageError: blobs or records cannot be written; nothing was accepted.
    """
    now = services.clock()
    most = services.limits.naming.max_days
    voiceprint = Voiceprint(
        voiceprint_id=uuid.uuid4().hex,
        tenant=caller.tenant,
        name=enrolment.name,
        consent=enrolment.consent,
        status="pending",
        created_at=now,
        expires_at=now + timedelta(days=min(enrolment.expires_in_days or most, most)),
        key_id=caller.key_id,
    )
    _store_source(services, voiceprint, enrolment.source)
    try:
        services.voiceprints.add(voiceprint)
    except StorageError:
        with suppress(StorageError):
            _delete_source(services, voiceprint.voiceprint_id)
        raise
    log.info("voiceprint_accepted", voiceprint_id=voiceprint.voiceprint_id)
    return voiceprint


def start_enrolment(services: Services, voiceprint_id: str) -> None:
    """Queue the making of an accepted voiceprint. When the broker is away, ``send_lost_enrolments`` does it later."""
    try:
        services.queue.send_enrol(voiceprint_id)
    except QueueUnavailable:
        log.warning("voiceprint_not_queued_yet", voiceprint_id=voiceprint_id)


def enrol_voiceprint(services: Services, voiceprint_id: str) -> None:
    """Make a pending voiceprint and delete what it is made from. May run twice.

    Raises:
        WorkPostponed, WorkInFlight, WorkHandedBack: it is to be tried again.
        ErniError: records, blobs or Redis are away.
    """
    with services.flights.hold(f"{voiceprint_id}:enrol"):
        voiceprint = _pending(services, voiceprint_id)
        if voiceprint is None:
            _delete_source(services, voiceprint_id)
            return
        try:
            make_prints(services, voiceprint)
        except (BlobNotFound, JobNotFound):
            _end(services, voiceprint, SOURCE_GONE)
        except EngineError as error:
            _check_patience(services, voiceprint, error)
            _end(services, voiceprint, error.message)
        except (InputError, ConfigError, DocumentDamaged) as error:
            _end(services, voiceprint, error.message)
        else:
            _end(services, voiceprint, explain_missing(services, voiceprint))


def forget_voiceprint(services: Services, voiceprint_id: str, *, tenant: str) -> None:
    """Delete a voiceprint, all its forms and what it was to be made from, at once.

    Raises:
        VoiceprintNotFound: the tenant has none with this id.
        StorageError: not all of it could be deleted; try again.
    """
    services.voiceprints.get(voiceprint_id, tenant=tenant)
    _delete_source(services, voiceprint_id)
    services.voiceprints.delete(voiceprint_id, tenant=tenant)
    log.info("voiceprint_deleted", voiceprint_id=voiceprint_id)


def send_lost_enrolments(services: Services) -> int:
    """Queue again the pending voiceprints whose message was lost. Returns how many."""
    horizon = services.clock() - timedelta(seconds=services.limits.stuck_after_s)
    old = [one.voiceprint_id for one in services.voiceprints.list_pending() if one.created_at < horizon]
    lost = set(old) - services.queue_watch.jobs_in_queue() if old else set()
    for voiceprint_id in lost:
        services.queue.send_enrol(voiceprint_id)
        log.warning("voiceprint_sent_again", voiceprint_id=voiceprint_id)
    return len(lost)


def delete_expired_voiceprints(services: Services) -> int:
    """Delete the voiceprints past their day, and recordings left behind by none. Returns how many voiceprints."""
    count = services.voiceprints.delete_expired(services.clock())
    horizon = services.clock() - timedelta(seconds=services.limits.temporary_s)
    roots = services.blobs.list_roots(blob_paths.VOICEPRINTS_ROOT)
    old = [name for name, changed_at in roots if changed_at < horizon]
    for name in set(old) - services.voiceprints.existing(old):
        services.blobs.delete_tree(f"{blob_paths.VOICEPRINTS_ROOT}/{name}")
    return count


def _store_source(services: Services, voiceprint: Voiceprint, source: Upload | JobSpeaker) -> None:
    if isinstance(source, JobSpeaker):
        _check_speaker(services, voiceprint.tenant, source)
        content = json.dumps({"job_id": source.job_id, "speaker": source.speaker}).encode()
        services.blobs.put_bytes(blob_paths.voiceprint_speaker(voiceprint.voiceprint_id), content)
        return
    if source.size_bytes == 0:
        raise EmptyUpload("The uploaded file is empty (0 bytes). Check the file and send it again.", field="file")
    services.blobs.put_file(blob_paths.voiceprint_audio(voiceprint.voiceprint_id), source.path)


def _check_speaker(services: Services, tenant: str, source: JobSpeaker) -> None:
    job = services.jobs.get(blob_paths.check_job_id(source.job_id), tenant=tenant)
    if job.status not in (JobStatus.SUCCEEDED, JobStatus.PARTIAL):
        raise TranscriptNotReady(f"The job is {job.status}; a voice is enrolled from one that has a transcript.")
    with services.blobs.local_copy(blob_paths.transcript(job.job_id)) as file, file.open("rb") as opened:
        speakers = codec.read_transcript(opened).speakers
    if source.speaker not in speakers:
        shown = f"Choose one of: {', '.join(speakers)}." if speakers else "Its speakers were not told apart."
        raise InvalidOption(f"The transcript of this job has no such speaker. {shown}", field="speaker")


def _pending(services: Services, voiceprint_id: str) -> Voiceprint | None:
    try:
        voiceprint = services.voiceprints.get(voiceprint_id)
    except VoiceprintNotFound:
        return None
    return voiceprint if voiceprint.status == "pending" else None


def _check_patience(services: Services, voiceprint: Voiceprint, error: EngineError) -> None:
    """An engine of ours that is out is asked again until the deadline. Raises WorkPostponed."""
    is_late = services.clock() - voiceprint.created_at > timedelta(seconds=services.limits.deadline_s)
    if error.retryable and not is_late:
        raise WorkPostponed(error.message, retry_after_s=error.retry_after_s or RETRY_S) from error


def _end(services: Services, voiceprint: Voiceprint, reason: str | None) -> None:
    """Ready where an engine knows the voice; ``reason`` says why another one, or none, does."""
    made = _pending(services, voiceprint.voiceprint_id)
    status: VoiceprintStatus = "ready" if made and made.engines else "failed"
    services.voiceprints.set_status(voiceprint.voiceprint_id, status, reason)
    _delete_source(services, voiceprint.voiceprint_id)
    log.info("voiceprint_ended", voiceprint_id=voiceprint.voiceprint_id, status=status)


def _delete_source(services: Services, voiceprint_id: str) -> None:
    services.blobs.delete_tree(blob_paths.voiceprint_root(voiceprint_id))
