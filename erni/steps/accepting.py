"""Accepting a job: the upload becomes a blob, then a record, then a message; in this order nothing can be lost."""

from __future__ import annotations

import uuid
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

import structlog

from erni import blob_paths
from erni.errors import EmptyUpload, InvalidOption, QueueUnavailable, StorageError
from erni.jobs import Job, JobOptions, JobStatus
from erni.keys import ApiKey
from erni.options import ALL_VOICEPRINTS
from erni.services import Services
from erni.steps.known_voices import find_wanted_voices
from erni.steps.paying import check_budget

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Upload:
    """A received file: where it lies, the SHA-256 of its bytes in hex, how many, and what its sender called it."""

    path: Path
    digest: str
    size_bytes: int
    filename: str | None


@dataclass(frozen=True, slots=True)
class Submission:
    """All a caller sends with a new job."""

    upload: Upload
    options: JobOptions
    idempotency_key: str | None = None


@dataclass(frozen=True, slots=True)
class Acceptance:
    """The job that stands for a submission; not new where an idempotency key had one already."""

    job: Job
    is_new: bool


def accept_job(services: Services, submission: Submission, caller: ApiKey) -> Acceptance:
    """Store the upload and record the job. Consumes the file at ``upload.path`` unless it was sent before.

    Once the record is written the job is accepted: should ``start_job`` never be called, the sweeper starts it.
    A submission with an idempotency key this tenant used before returns that job and stores nothing, whatever has
    become of the money, voices and engines it was accepted with.

    Raises:
        EmptyUpload: the upload has no bytes.
        InvalidOption: the idempotency key was used before for another file or other options, or a voice asked for is
            not known.
        SpendingCapReached: the caller's key has nothing left for the engines asked for.
        StorageError: blobs or records cannot be written; nothing was accepted.
    """
    upload = submission.upload
    if upload.size_bytes == 0:
        raise EmptyUpload("The uploaded file is empty (0 bytes). Check the file and send it again.", field="file")
    earlier = find_earlier_job(services, submission.idempotency_key, caller)
    if earlier is not None:
        return _replay(earlier, submission)
    wanted = _make_job(services, submission, caller)
    check_budget(services, caller, wanted.options)
    services.blobs.put_file(blob_paths.source(wanted.job_id), upload.path)
    try:
        job = services.jobs.add(wanted)
    except StorageError:
        _discard_source(services, wanted.job_id)
        raise
    if job.job_id != wanted.job_id:
        # The same submission, sent twice at once.
        services.blobs.delete_tree(blob_paths.job_root(wanted.job_id))
        return _replay(job, submission)
    log.info("job_accepted", job_id=job.job_id, size_bytes=upload.size_bytes)
    return Acceptance(job, is_new=True)


def find_earlier_job(services: Services, idempotency_key: str | None, caller: ApiKey) -> Job | None:
    """The job that the caller's tenant submitted with this key before."""
    return services.jobs.find_by_idempotency_key(caller.tenant, idempotency_key) if idempotency_key else None


def _make_job(services: Services, submission: Submission, caller: ApiKey) -> Job:
    """The job as it is to be recorded. Raises InvalidOption: a voice asked for is not known."""
    return Job(
        job_id=uuid.uuid4().hex,
        tenant=caller.tenant,
        status=JobStatus.QUEUED,
        options=find_wanted_voices(services, submission.options, caller.tenant),
        created_at=services.clock(),
        source_digest=submission.upload.digest,
        source_bytes=submission.upload.size_bytes,
        filename=submission.upload.filename,
        idempotency_key=submission.idempotency_key,
        key_id=caller.key_id,
    )


def _discard_source(services: Services, job_id: str) -> None:
    """Free the space of an upload that was not recorded: on a full disk it would keep others out for a day.

    Where the records cannot say whether they have the job, the clean-up decides later.
    """
    with suppress(StorageError):
        if not services.jobs.existing([job_id]):
            services.blobs.delete_tree(blob_paths.job_root(job_id))


def start_job(services: Services, job_id: str) -> None:
    """Queue the first step of an accepted job. When the broker is away, the sweeper does it later."""
    try:
        services.queue.send_prepare(job_id)
    except QueueUnavailable:
        log.warning("job_not_queued_yet", job_id=job_id)


def _replay(recorded: Job, submission: Submission) -> Acceptance:
    """Raises InvalidOption: it is not what the recorded job was submitted with."""
    asked = submission.options
    if asked.voiceprints == (ALL_VOICEPRINTS,):
        # Which voices there were then is recorded, not that all were asked for.
        asked = replace(asked, voiceprints=recorded.options.voiceprints)
    if recorded.source_digest != submission.upload.digest or recorded.options != asked:
        raise InvalidOption(
            "This idempotency key was used before for another file or other options. Use a new key.",
            field="Idempotency-Key",
        )
    return Acceptance(recorded, is_new=False)
