"""Every Redis key of Erni's own, in one place. The broker's keys are Celery's and live with their reader."""

from __future__ import annotations

from typing import Final

from erni.jobs import StepKind

CACHE_PREFIX: Final = "erni:cache:"
FLIGHT_PREFIX: Final = "erni:flight:"
HOOK_PREFIX: Final = "erni:hook:"
JOB_ENTRIES_PREFIX: Final = "erni:cache-of-job:"

CACHE_SUMS: Final = "erni:meter:cache"
"""Hash: sums over cache look-ups, fields ``hits|<stage>``, ``misses|``, ``bytes|``, ``saved_s|``, ``saved_usd|``."""

ACCOUNT_PREFIX: Final = "erni:account:"
BREAKER_PREFIX: Final = "erni:breaker:"
PROBE_PREFIX: Final = "erni:probe:"

WAITING_CHUNKS_PREFIX: Final = "erni:waiting-chunks:"
WORKER_BEACON_PREFIX: Final = "erni:worker:"

WORKERS: Final = "erni:workers"
"""Set: names of the workers that have a beacon, or had one until lately."""

STAGE_SECONDS: Final = "erni:meter:stage_seconds"
"""Hash: histogram of a stage's seconds, by stage."""

REAL_TIME_FACTOR: Final = "erni:meter:real_time_factor"
"""Hash: histogram of a finished job's seconds per second of audio, by final status."""

JOB_SECONDS: Final = "erni:meter:job_seconds"
"""Hash: sums of finished jobs, fields ``audio|<status>`` and ``processing|<status>``."""

REQUEST_SECONDS: Final = "erni:meter:request_seconds"
"""Hash: histogram of a REST request's seconds, by route, method and HTTP status."""


def cache_entry(key: str) -> str:
    """A stage's result, compressed."""
    return f"{CACHE_PREFIX}{key}"


def job_entries(job_id: str) -> str:
    """Set of the keys of a job's cache entries, so that deleting the job finds them."""
    return f"{JOB_ENTRIES_PREFIX}{job_id}"


def flight(key: str) -> str:
    """Held by whoever does this piece of work; the value tells holders apart."""
    return f"{FLIGHT_PREFIX}{key}"


def account(name: str) -> str:
    """Hash: how a vendor's account stands with all workers; see ``stores.gate_scripts``, as for the next three."""
    return f"{ACCOUNT_PREFIX}{name}"


def account_calls(name: str) -> str:
    """Sorted set: calls of the last minute by when they began."""
    return f"{ACCOUNT_PREFIX}{name}:calls"


def account_turns(name: str) -> str:
    """Sorted set: tickets of those who wait by when their turn is."""
    return f"{ACCOUNT_PREFIX}{name}:turns"


def account_leases(name: str) -> str:
    """Sorted set: calls under way by when they count no more unless renewed."""
    return f"{ACCOUNT_PREFIX}{name}:leases"


def breaker(engine: str) -> str:
    """Hash: an engine's failures in a row, and until when it is left alone. Absent while it works."""
    return f"{BREAKER_PREFIX}{engine}"


def probe(provider: str) -> str:
    """What the last probe of a provider found, as JSON."""
    return f"{PROBE_PREFIX}{provider}"


def waiting_chunks(job_id: str, kind: StepKind) -> str:
    """List of the chunks of a job that no lane has taken yet for this kind of work; the next one first."""
    return f"{WAITING_CHUNKS_PREFIX}{job_id}:{kind}"


def hook(provider: str, delivery_id: str) -> str:
    """There once a vendor's webhook was taken in, so that its repetitions are known."""
    return f"{HOOK_PREFIX}{provider}:{delivery_id}"


def worker_beacon(node: str) -> str:
    """What a worker says of itself, as JSON ``{"queues": [...], "ready": bool, "processes": int}``.

    It expires by itself, so that a worker that is gone is soon forgotten.
    """
    return f"{WORKER_BEACON_PREFIX}{node}"
