"""Whether everything the service needs answers, in fixed sentences: an address or a path stays inside."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import Final, Literal

from api.runtime import Runtime
from erni.errors import QueueUnavailable, StorageError
from erni.stores.redis_queue_state import RedisQueueState

PROBE_TIMEOUT_S: Final = 2.0

Status = Literal["ready", "degraded", "unavailable"]


@dataclass(frozen=True, slots=True)
class Probe:
    """One question; ``check`` returns or raises. Without a required one the service cannot accept jobs."""

    name: str
    check: Callable[[], object]
    is_required: bool


@dataclass(frozen=True, slots=True)
class Finding:
    """A probe's answer; ``detail`` is fit for strangers."""

    name: str
    is_ok: bool
    is_required: bool
    detail: str


class NoWorker(Exception):
    """No living worker with its models loaded takes work from the queue."""


def build_probes(runtime: Runtime) -> list[Probe]:
    """The stores, which are required, and a worker for each queue, which may come later."""
    state = RedisQueueState(runtime.redis, runtime.queues)
    return [
        Probe("records", runtime.services.jobs.ping, is_required=True),
        Probe("blobs", runtime.services.blobs.ping, is_required=True),
        Probe("redis", runtime.redis.ping, is_required=True),
        *(Probe(f"queue:{name}", partial(_check_served, state, name), is_required=False) for name in runtime.queues),
    ]


def run_probes(probes: Sequence[Probe], timeout_s: float = PROBE_TIMEOUT_S) -> list[Finding]:
    """Ask all at once and wait at most ``timeout_s`` altogether; a probe that hangs is left behind."""
    executor = ThreadPoolExecutor(max_workers=len(probes), thread_name_prefix="probe")
    deadline = time.monotonic() + timeout_s
    futures = [(probe, executor.submit(probe.check)) for probe in probes]
    findings = [_judge(probe, future, max(0.0, deadline - time.monotonic())) for probe, future in futures]
    executor.shutdown(wait=False, cancel_futures=True)
    return findings


def summarise(findings: Sequence[Finding]) -> Status:
    """``unavailable`` without a required part, ``degraded`` while accepted jobs would have to wait."""
    missing = [finding for finding in findings if not finding.is_ok]
    if any(finding.is_required for finding in missing):
        return "unavailable"
    return "degraded" if missing else "ready"


def _judge(probe: Probe, future: Future[object], timeout_s: float) -> Finding:
    try:
        future.result(timeout_s)
    except Exception as error:  # noqa: BLE001  # whatever a probe raises is its answer
        return Finding(probe.name, is_ok=False, is_required=probe.is_required, detail=_explain(error))
    return Finding(probe.name, is_ok=True, is_required=probe.is_required, detail="ok")


def _explain(error: Exception) -> str:
    match error:
        case NoWorker():
            return "no worker is ready for this queue"
        case TimeoutError():
            return "does not answer in time"
        case StorageError() | QueueUnavailable():
            return "cannot be reached"
    return f"fails ({type(error).__name__})"


def _check_served(state: RedisQueueState, queue: str) -> None:
    if queue not in state.served_queues():
        raise NoWorker
