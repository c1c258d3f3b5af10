"""Jobs: submit, look at, read the transcript of, retry, cancel, delete. A caller sees its own tenant's jobs only."""

from __future__ import annotations

import hashlib
import re
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from http import HTTPStatus
from pathlib import PurePath
from typing import IO, Final

from flask import Blueprint, Response, jsonify, request, send_file
from werkzeug.exceptions import NotAcceptable

from api.auth import current_caller, require_key
from api.runtime import current_runtime
from api.schemas import describe_job, describe_removal, summarise_job
from api.uploads import clean_filename, receive_upload
from erni import blob_paths, codec
from erni.errors import (
    BlobNotFound,
    ErniError,
    InvalidOption,
    JobNotFound,
    StorageError,
    TranscriptNotReady,
    UnknownFormat,
)
from erni.exporting import FORMATS, Rendered, render
from erni.jobs import Job, JobStatus
from erni.model import Transcript
from erni.options import parse_options
from erni.progress import Progress, describe_progress
from erni.steps.accepting import Submission, accept_job, find_earlier_job, start_job
from erni.steps.ending import cancel_job, delete_job
from erni.steps.restarting import retry_job

MAX_PAGE_SIZE: Final = 500
MAX_IDEMPOTENCY_KEY_CHARS: Final = 200
IDEMPOTENCY_HEADER: Final = "Idempotency-Key"
SPOOL_BYTES: Final = 512 * 1024
"""A longer export goes through a file; an hour of speech is a megabyte of JSON."""

blueprint = Blueprint("jobs", __name__, url_prefix="/v1/jobs")
require_key(blueprint)


@blueprint.post("")
def submit_job() -> tuple[Response, int, dict[str, str]]:
    """202: the job is recorded and will be done. A repeated idempotency key answers with the first job.

    The job is queued right after the answer has been sent: from its record on it cannot be lost, so the caller
    need not wait for the broker.
    """
    runtime, caller = current_runtime(), current_caller()
    idempotency_key = _idempotency_key()
    with receive_upload(request, runtime.services.temporary_dir, runtime.max_upload_bytes) as received:
        earlier = find_earlier_job(runtime.services, idempotency_key, caller)
        # What is sent again is read as on the day it was accepted: an engine's end since then changes nothing in it.
        accepted_at = earlier.created_at if earlier is not None else runtime.services.clock()
        options = parse_options(received.fields, runtime.offers.on(accepted_at.date()))
        submission = Submission(received.upload, options, idempotency_key)
        accepted = accept_job(runtime.services, submission, caller)
    response = jsonify(_describe(accepted.job))
    if accepted.is_new:
        response.call_on_close(partial(start_job, runtime.services, accepted.job.job_id))
    return response, 202, {"Location": f"/v1/jobs/{accepted.job.job_id}"}


@blueprint.get("")
def list_jobs() -> Response:
    """A page of jobs, newest first; ``next`` is the value of ``after`` for the page that follows, or null."""
    wanted = _query("limit", "after", "status")
    limit = _page_size(wanted.get("limit"))
    found = current_runtime().services.jobs.list_jobs(
        current_caller().tenant,
        limit=limit + 1,
        after=_page_start(wanted.get("after")),
        status=_job_status(wanted.get("status")),
    )
    page = found[:limit]
    return jsonify(
        jobs=[summarise_job(job, _progress(job)) for job in page],
        next=page[-1].job_id if len(found) > limit else None,
    )


@blueprint.get("/<job_id>")
def show_job(job_id: str) -> Response:
    """The job, its progress and where its time went."""
    return jsonify(_describe(_own_job(job_id)))


@blueprint.get("/<job_id>/transcript")
def show_transcript(job_id: str) -> Response:
    """The transcript in the format of the query, else of the Accept header, else JSON."""
    format_name = _query("format").get("format") or _accepted_format()
    if format_name not in FORMATS:
        raise UnknownFormat(f"There is no such format. Choose one of: {', '.join(FORMATS)}.", field="format")
    job = _own_job(job_id)
    with _open_transcript(job) as transcript:
        return _send(render(transcript, format_name), job)


@blueprint.post("/<job_id>/cancel")
def stop_job(job_id: str) -> Response:
    """The cancelled job. Work under way on its chunks ends within seconds."""
    services = current_runtime().services
    return jsonify(_describe(cancel_job(services, _own_job(job_id).job_id)))


@blueprint.post("/<job_id>/retry")
def restart_job(job_id: str) -> tuple[Response, int]:
    """202: what is missing of a job that is over will be tried again; what it has is kept."""
    services = current_runtime().services
    return jsonify(_describe(retry_job(services, _own_job(job_id).job_id))), 202


@blueprint.delete("/<job_id>")
def remove_job(job_id: str) -> Response:
    """The job, its audio and its transcript are gone when this answers, and it tells how much that was."""
    services = current_runtime().services
    job = _own_job(job_id)
    return jsonify(describe_removal(job.job_id, delete_job(services, job.job_id)))


def _own_job(job_id: str) -> Job:
    """Another tenant's job is as absent as one that never was. Raises JobNotFound."""
    jobs = current_runtime().services.jobs
    return jobs.get(blob_paths.check_job_id(job_id), tenant=current_caller().tenant)


def _describe(job: Job) -> dict[str, object]:
    return describe_job(job, _progress(job, with_timings=True))


def _progress(job: Job, *, with_timings: bool = False) -> Progress:
    """A new job has no steps, and of one that is over only the timings need them: lists stay quick."""
    services = current_runtime().services
    is_new = job.status is JobStatus.QUEUED and job.restarted_at is None
    has_news = not is_new and (with_timings or not job.status.is_over)
    steps = services.jobs.steps(job.job_id) if has_news else ()
    return describe_progress(job, steps, services.clock())


def _idempotency_key() -> str | None:
    key = request.headers.get(IDEMPOTENCY_HEADER)
    if key is None:
        return None
    if not 1 <= len(key) <= MAX_IDEMPOTENCY_KEY_CHARS or not (key.isascii() and key.isprintable()):
        raise InvalidOption(
            f"{IDEMPOTENCY_HEADER} must have 1 to {MAX_IDEMPOTENCY_KEY_CHARS} printable ASCII characters.",
            field=IDEMPOTENCY_HEADER,
        )
    return key


def _query(*known: str) -> dict[str, str]:
    """The query's parameters, each known and given once. Raises InvalidOption."""
    for name, values in request.args.lists():
        if name not in known:
            raise InvalidOption(f"There is no such parameter. Known here: {', '.join(known)}.", field=name[:64])
        if len(values) > 1:
            raise InvalidOption(f"{name} is given more than once.", field=name)
    return request.args.to_dict()


def _page_size(text: str | None) -> int:
    if text is None:
        return current_runtime().page_size
    if not re.fullmatch(r"[0-9]{1,4}", text) or not 1 <= int(text) <= MAX_PAGE_SIZE:
        raise InvalidOption(f"limit must be a whole number from 1 to {MAX_PAGE_SIZE}.", field="limit")
    return int(text)


def _page_start(job_id: str | None) -> str | None:
    try:
        return job_id and blob_paths.check_job_id(job_id)
    except JobNotFound:
        raise InvalidOption("after must be the next of an earlier page.", field="after") from None


def _job_status(text: str | None) -> JobStatus | None:
    if text is None:
        return None
    if text not in set(JobStatus):
        raise InvalidOption(f"status must be one of: {', '.join(JobStatus)}.", field="status")
    return JobStatus(text)


def _accepted_format() -> str:
    """The best of what the Accept header allows; no header allows everything. Raises NotAcceptable."""
    if not request.accept_mimetypes:
        return "json"
    names = {row.media_type.partition(";")[0]: name for name, row in FORMATS.items()}
    media_type = request.accept_mimetypes.best_match(list(names))
    if media_type is None:
        raise NotAcceptable(f"A transcript can be had as: {', '.join(names)}.")
    return names[media_type]


@contextmanager
def _open_transcript(job: Job) -> Iterator[Transcript]:
    """Its segments are read while it is open. A retried job keeps the transcript it had until there is a better one.

    Raises:
        TranscriptNotReady: there is none, or not yet.
    """
    is_there = job.status in (JobStatus.SUCCEEDED, JobStatus.PARTIAL)
    may_be_there = job.restarted_at is not None and job.options.on_gap == "partial"
    if not (is_there or may_be_there):
        raise _not_ready(job)
    stored = current_runtime().services.blobs.local_copy(blob_paths.transcript(job.job_id))
    try:
        with stored as file, file.open("rb") as opened:
            yield codec.read_transcript(opened)
    except BlobNotFound:
        if is_there:
            raise
        raise _not_ready(job) from None


def _not_ready(job: Job) -> ErniError:
    if job.failure is not None:
        return TranscriptNotReady(f"The job failed, so it has no transcript: {job.failure.message}")
    if job.status.is_over:
        return TranscriptNotReady(f"The job is {job.status}, so it has no transcript.")
    return TranscriptNotReady(f"The job is {job.status}; ask again when it is over.", retry_after_s=1)


def _spool(rendered: Rendered) -> tuple[IO[bytes], int, str]:
    """The export as a file, in memory only while it is short; its bytes and its SHA-256 in hex."""
    digest = hashlib.sha256()
    content = tempfile.SpooledTemporaryFile(SPOOL_BYTES)  # noqa: SIM115  # the response closes it
    try:
        for part in rendered.parts:
            content.write(part)
            digest.update(part)
    except OSError as error:
        raise StorageError("There is no room to write the transcript out. Is the disk full?") from error
    size_bytes = content.tell()
    content.seek(0)
    return content, size_bytes, digest.hexdigest()


def _send(rendered: Rendered, job: Job) -> Response:
    """Named after the upload; who has this very transcript already is told so instead."""
    content, size_bytes, digest = _spool(rendered)
    response = send_file(
        content,
        mimetype=rendered.media_type,
        download_name=f"{PurePath(clean_filename(job.filename) or job.job_id).stem}.{rendered.extension}",
        etag=digest,
    )
    if response.status_code == HTTPStatus.OK:
        response.content_length = size_bytes
    response.content_type = rendered.media_type
    response.headers["Cache-Control"] = "private, no-cache"
    response.vary.update(("Accept", "Authorization"))
    return response
