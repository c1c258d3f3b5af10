"""Jobs as callers see them in JSON. Builds plain values; knows no request and no store."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from erni.jobs import Job, JobOptions
from erni.model import Notice
from erni.progress import Progress, Reuse, Waiting
from erni.steps.ending import Removed

Json = dict[str, Any]


def describe_job(job: Job, progress: Progress) -> Json:
    """Everything there is to say of one job. Keys are documented in docs/api.md."""
    return {
        **summarise_job(job, progress),
        "chunks": {"total": progress.chunks_total, "done": progress.chunks_done},
        "timings": progress.timings,
        "waiting": _describe_waiting(progress.waiting),
        "reused": _describe_reuse(progress.reused),
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
        "restarted_at": _timestamp(job.restarted_at),
        "started_at": _timestamp(job.started_at),
        "finished_at": _timestamp(job.finished_at),
        "links": {"self": f"/v1/jobs/{job.job_id}", "transcript": f"/v1/jobs/{job.job_id}/transcript"},
    }


def describe_removal(job_id: str, removed: Removed) -> Json:
    """What is gone of a deleted job, by kind."""
    return {
        "id": job_id,
        "removed": {
            "records": 1,
            "steps": removed.steps,
            "blobs": removed.blobs,
            "cache_entries": removed.cache_entries,
        },
    }


def _describe_waiting(waiting: Waiting | None) -> Json | None:
    return {"until": _timestamp(waiting.until), "because": waiting.because} if waiting else None


def _describe_reuse(reused: Reuse) -> Json:
    return {
        "prepare": reused.prepare,
        "transcribe": reused.transcribe,
        "embed": reused.embed,
        "diarize": reused.diarize,
        "job": reused.job,
        "engine_s": reused.engine_s,
        "usd": reused.usd,
    }


def _describe_options(options: JobOptions) -> Json:
    return {
        "method": options.method,
        "engine": options.engine,
        "diarizer": options.diarizer,
        "join": options.join,
        "language": options.language,
        "prompt": options.prompt,
        "keywords": list(options.keywords),
        "num_speakers": options.num_speakers,
        "min_speakers": options.min_speakers,
        "max_speakers": options.max_speakers,
        "voiceprints": list(options.voiceprints),
        "fallback": list(options.fallback),
        "diarizer_fallback": list(options.diarizer_fallback),
        "completion": options.completion,
        "max_usd": options.max_usd,
        "on_gap": options.on_gap,
        "cache": options.cache,
        "deadline_s": options.deadline_s,
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
