"""Fairness between tenants: so many of a tenant's jobs are at work at a time, the others wait as records.

A waiting job costs no message. When a job of its tenant is over the oldest waiting one is sent; should that fail, the
sweeper sends it.
"""

from __future__ import annotations

from datetime import datetime
from typing import Final

import structlog

from erni.errors import QueueUnavailable
from erni.jobs import Job, JobStatus
from erni.services import Services

SENT_RECENTLY_S: Final = 5.0

log = structlog.get_logger(__name__)


def may_start(services: Services, job: Job) -> bool:
    """Whether the job is at work already or its tenant has room for one more."""
    return job.status is not JobStatus.QUEUED or room_of(services, job.tenant) > 0


def _was_just_sent(job: Job, now: datetime) -> bool:
    """A claim is the only news of a job that waits."""
    heard_at = job.updated_at or job.created_at
    return heard_at > job.created_at and (now - heard_at).total_seconds() < SENT_RECENTLY_S


def room_of(services: Services, tenant: str) -> int:
    """How many more of the tenant's jobs may be at work; two workers that ask at once may both get the last place."""
    return max(0, services.limits.tenant_jobs - services.jobs.count_active(tenant))


def start_waiting(services: Services, tenant: str) -> None:
    """Send as many of the tenant's waiting jobs as there is room for; called whenever one of its jobs is over."""
    room = room_of(services, tenant)
    if not room:
        return
    waiting = services.jobs.oldest_queued(tenant, limit=2 * services.limits.tenant_jobs)
    now = services.clock()
    # A job sent a moment ago takes its place as soon as it is delivered; counted only then, each would be sent often.
    idle = [job for job in waiting if not _was_just_sent(job, now)]
    for job in idle[: max(0, room - (len(waiting) - len(idle)))]:
        # Of several that see the same room one sends the job.
        if not services.jobs.claim(job):
            continue
        try:
            services.queue.send_prepare(job.job_id)
        except QueueUnavailable:
            log.warning("job_not_queued_yet", job_id=job.job_id)
            return
