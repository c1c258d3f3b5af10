"""What is removed by schedule: jobs past their retention, and what dead workers and deleted jobs left behind."""

from __future__ import annotations

import shutil
from datetime import UTC, datetime, timedelta

import structlog

from erni import blob_paths
from erni.errors import JobNotFound
from erni.services import Services
from erni.steps.ending import delete_job


def delete_expired(services: Services) -> int:
    """Delete jobs that have been over for longer than the retention. Returns how many."""
    horizon = services.clock() - timedelta(seconds=services.limits.retention_s)
    count = 0
    for job in services.jobs.finished_before(horizon):
        with structlog.contextvars.bound_contextvars(job_id=job.job_id):
            count += _delete_if_expired(services, job.job_id, horizon)
    return count


def _delete_if_expired(services: Services, job_id: str, horizon: datetime) -> bool:
    """Looks again, because the job may have been retried, or deleted on another host, since it was listed."""
    try:
        finished_at = services.jobs.get(job_id).finished_at
        if finished_at is None or finished_at >= horizon:
            return False
        delete_job(services, job_id)
    except JobNotFound:
        return False
    return True


def delete_temporary(services: Services) -> int:
    """Remove temporary files, half-written blobs and blobs without a job once they are old. Returns how many."""
    horizon = services.clock() - timedelta(seconds=services.limits.temporary_s)
    return (
        _delete_old_files(services, horizon)
        + _delete_orphans(services, horizon)
        + services.blobs.remove_stale_temporaries(horizon)
    )


def _delete_old_files(services: Services, horizon: datetime) -> int:
    count = 0
    if not services.temporary_dir.is_dir():
        return 0
    for path in services.temporary_dir.iterdir():
        if datetime.fromtimestamp(path.stat().st_mtime, UTC) >= horizon:
            continue
        if path.is_dir():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink(missing_ok=True)
        count += 1
    return count


def _delete_orphans(services: Services, horizon: datetime) -> int:
    old = [name for name, changed_at in services.blobs.list_roots(blob_paths.JOBS_ROOT) if changed_at < horizon]
    known = services.jobs.existing(old)
    orphans = [name for name in old if name not in known]
    for name in orphans:
        services.blobs.delete_tree(f"{blob_paths.JOBS_ROOT}/{name}")
    return len(orphans)
