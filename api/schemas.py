"""Jobs as callers see them in JSON. Builds plain values; knows no request and no store."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from erni.jobs import Job, JobOptions
from erni.model import Notice
from erni.progress import Progress

Json = dict[str, Any]


def describe_job(job: Job, progress: Progress) -> Json:
    """Everything there is to say of one job. Keys are documented in docs/api.md."""
    return {
        **summarise_job(job, progress),
        "chunks": {"total": progress.chunks_total, "done": progress.chunks_done},
        "timings": progress.timings,
        "options": _describe_options(job.options),
        "warnings": [_describe_notice(notice) for notice in job.warnings],
        "digest": f"sha256:{job.source_digest}",
    }


def summarise_job(job: Job, progress: Progress) -> Json:
    """What a list shows of a job."""
    return {
        "id": job.job_id,
        "status": job.status.value,
        "stage": progress.stage,
        "progress": progress.fraction,
        "filename": job.filename,
        "size_bytes": job.source_bytes,
        "duration_s": job.duration_s,
        "metadata": job.options.metadata,
        "error": {"code": job.failure.code, "message": job.failure.message} if job.failure else None,
        "created_at": _timestamp(job.created_at),
        "started_at": _timestamp(job.started_at),
        "finished_at": _timestamp(job.finished_at),
        "links": {"self": f"/v1/jobs/{job.job_id}", "transcript": f"/v1/jobs/{job.job_id}/transcript"},
    }


def _describe_options(options: JobOptions) -> Json:
    return {
        "method": options.method,
        "engine": options.engine,
        "diarizer": options.diarizer,
        "join": options.join,
        "language": options.language,
        "prompt": options.prompt,
        "num_speakers": options.num_speakers,
        "min_speakers": options.min_speakers,
        "max_speakers": options.max_speakers,
    }


def _describe_notice(notice: Notice) -> Json:
    return {
        "code": notice.code,
        "message": notice.message,
        "start_s": notice.span.start_s if notice.span else None,
        "end_s": notice.span.end_s if notice.span else None,
    }


def _timestamp(moment: datetime | None) -> str | None:
    """ISO 8601 in UTC to the millisecond, ``2026-03-01T09:30:00.000Z``."""
    if moment is None:
        return None
    return moment.astimezone(UTC).replace(tzinfo=None).isoformat(timespec="milliseconds") + "Z"
