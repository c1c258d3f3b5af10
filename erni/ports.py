"""Every door outward but those of engines and voices, on one page. Implementations: ``stores`` and the entrances."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Literal, Protocol

from erni.capabilities import Terms
from erni.health import ProbeHour, ProbeResult
from erni.jobs import Job, JobFields, JobStatus, Piece, RemoteStop, Savings, Step, StepKind
from erni.keys import ApiKey
from erni.model import Bill
from erni.money import Charge, SpendingCaps, UsageSum


class JobStore(Protocol):
    """Jobs and their steps: the truth. Every method may raise StorageError."""

    def add(self, job: Job) -> Job:
        """Record a new job. Where the tenant has one with the same idempotency key, return that one instead."""

    def get(self, job_id: str, *, tenant: str | None = None) -> Job:
        """Raises JobNotFound, also when the job belongs to another tenant."""

    def find_by_idempotency_key(self, tenant: str, key: str) -> Job | None:
        """The tenant's job that was submitted with this key."""

    def list_jobs(
        self, tenant: str, *, limit: int, after: str | None = None, status: JobStatus | None = None
    ) -> Sequence[Job]:
        """Newest first; ``after`` is the job id that ended the page before."""

    def advance(self, job_id: str, to: JobStatus, fields: JobFields | None = None) -> bool:
        """Move to ``to`` if the present state allows it (``MOVES_INTO``), in one atomic statement.

        Returns whether this call made the move. Whoever moved it acts on it.
        """

    def update(self, job_id: str, fields: JobFields) -> None:
        """Set columns without a move. A job that is gone is not an error."""

    def delete(self, job_id: str) -> None:
        """Remove the job and its steps. A job that is gone is not an error."""

    def begin_step(self, job_id: str, piece: Piece) -> Step:
        """Count a delivery and mark the step running, unless it is over. Returns it as it is then.

        Raises:
            JobNotFound: the job is gone.
        """

    def release_step(self, job_id: str, piece: Piece) -> None:
        """Take back the count of a delivery whose worker returned, without a result but alive."""

    def save_step(self, step: Step) -> None:
        """Record how a running step stands: its engine, attempts, failures and when it is tried again.

        A step that is over stays as it is. The caller holds the piece of work: no one else writes it meanwhile, but for
        ``note_remote``, whose id stays while the step is of the same submission and knows none.
        """

    def finish_step(self, step: Step) -> None:
        """Record how a step ended. The first end stays: a second call changes nothing."""

    def forget_steps(self, job_id: str, pieces: Sequence[Piece]) -> None:
        """Remove these steps, so that their work may begin anew with all attempts."""

    def find_step(self, job_id: str, piece: Piece) -> Step | None:
        """The step, or ``None`` when no worker began it."""

    def steps(self, job_id: str) -> Sequence[Step]:
        """All steps begun so far, by kind and part."""

    def claim(self, job: Job) -> bool:
        """Set ``updated_at`` to now if it still is what ``job`` says; returns whether this call did. Of several that
        saw the same state of a job, one claims it and acts.
        """

    def count_active(self, tenant: str) -> int:
        """How many of a tenant's jobs are in one of ``ACTIVE_STATUSES``."""

    def oldest_queued(self, tenant: str, *, limit: int) -> Sequence[Job]:
        """The tenant's jobs that are ``queued``, oldest first."""

    def unfinished(self) -> Iterator[Job]:
        """Every job that is not over, oldest first."""

    def finished_before(self, moment: datetime) -> Iterator[Job]:
        """Every job that was over before ``moment``."""

    def count_by_status(self) -> dict[JobStatus, int]: ...

    def existing(self, job_ids: Sequence[str]) -> set[str]:
        """Which of these jobs are recorded."""

    def ping(self) -> None:
        """Raises StorageError when the store cannot be used."""

    def find_remote(self, provider: str, remote_id: str) -> Sequence[Step]:
        """The steps that wait for a vendor's job, as those of equal recordings do for one: their engine's name begins
        with ``provider`` and a slash.
        """

    def note_remote(self, job_id: str, piece: Piece, provider: str, remote_id: str) -> bool:
        """Record a vendor's job for a step that was submitted to ``provider`` and does not know its id; returns whether
        it was one. Atomic: of two ids the first one stays.
        """


class KeyStore(Protocol):
    """API keys, by the hash of their token."""

    def add_key(self, key: ApiKey) -> bool:
        """Record a key; False when its hash is already there."""

    def find_key(self, token_hash: str) -> ApiKey | None:
        """The key, unless unknown or revoked."""

    def get_key(self, key_id: str) -> ApiKey | None:
        """The key, revoked or not, unless unknown."""

    def list_keys(self) -> Sequence[ApiKey]: ...

    def revoke_key(self, key_id: str, at: datetime) -> bool:
        """False when there is no such key or it was revoked before."""

    def set_monthly_cap(self, key_id: str, usd: float | None) -> bool:
        """What the key may spend in a month from now on; ``None`` for its cap to be the installation's. False when
        there is no such key.
        """


class Ledger(Protocol):
    """Every paid call: what it should cost, and then what it did. Every method may raise StorageError."""

    def reserve(self, charge: Charge, caps: SpendingCaps) -> None:
        """Record a call about to be made. Atomic over all workers: of two that together pass a cap one is refused.

        A charge whose id is there already, as from a run of the step that died, is not added again.

        Raises:
            SpendingCapReached: nothing was recorded and the call must not be made.
        """

    def settle(self, charge_id: str, bill: Bill | None) -> None:
        """The call was answered: record what the vendor says it cost, or that the estimate stands."""

    def release(self, charge_id: str) -> None:
        """The call was not billed: it failed, or was never made."""

    def spent_by_job(self, job_id: str) -> float:
        """Dollars reported or, before that, estimated, of calls not released."""

    def spent_by_key(self, key_id: str, since: datetime) -> float: ...

    def sum_usage(self, tenant: str, since: datetime, until: datetime) -> Sequence[UsageSum]:
        """By key, engine and model; ``until`` is exclusive."""


class EngineGates(Protocol):
    """Shared limits and breakers of remote engines, over all workers. Losing Redis opens every gate."""

    def enter(self, engine: str, terms: Terms, ticket: str) -> AbstractContextManager[None]:
        """Hold one of the engine's places while inside. ``ticket`` names the call: whoever was told to come back finds
        his turn kept. An EngineError that leaves the block counts for the breaker, and so does its absence.

        Raises:
            WorkPostponed: it is not this call's turn yet; ``retry_after_s`` says when it will be.
            EngineResting: the breaker is open.
        """

    def states(self, engines: Mapping[str, Terms]) -> Mapping[str, GateState]:
        """How each engine's gate stands now. Raises QueueUnavailable."""


@dataclass(frozen=True, slots=True)
class GateState:
    """How an engine's gate stands. ``failures`` are in a row; the breaker stays open for ``rest_s`` more.

    What follows is of the account, which engines may share: closed by the vendor for ``closed_s`` more, calls in
    flight, and calls told to come back.
    """

    breaker: Literal["closed", "open", "half_open"]
    failures: int
    rest_s: float
    closed_s: float
    in_flight: int
    waiting: int


class Probes(Protocol):
    """What the last probe of each vendor found. Losing it costs a look, until the next one."""

    def put(self, result: ProbeResult) -> None:
        """Keep it in place of the one before. Never raises."""

    def last(self, providers: Sequence[str]) -> Mapping[str, ProbeResult]:
        """By provider, of those probed lately. Raises QueueUnavailable."""


class EngineHours(Protocol):
    """Probes summed by vendor and hour. Every method may raise StorageError."""

    def add(self, result: ProbeResult) -> None:
        """Count it in its hour."""

    def hours(self, since: datetime, until: datetime) -> Sequence[ProbeHour]:
        """The hours that began from ``since`` on and before ``until``, by provider and time."""


class BlobStore(Protocol):
    """Bytes by path. Writes are whole or not at all. Every method may raise StorageError."""

    def put_file(self, path: str, local: Path) -> None:
        """Store a local file; the local file is consumed (moved where possible, else copied and removed)."""

    def put_bytes(self, path: str, content: bytes) -> None: ...

    def get_bytes(self, path: str) -> bytes:
        """Raises BlobNotFound."""

    def exists(self, path: str) -> bool: ...

    def copy(self, path: str, to: str) -> None:
        """Store the same bytes under another path; a directory shares them. Raises BlobNotFound."""

    def local_copy(self, path: str) -> AbstractContextManager[Path]:
        """A readable local file: the blob itself where it is one, else a temporary copy. Raises BlobNotFound."""

    def delete_tree(self, root: str) -> int:
        """Remove everything below ``root``; returns how many blobs there were."""

    def list_roots(self, root: str) -> Iterator[tuple[str, datetime]]:
        """The names directly below ``root`` and when each was last changed."""

    def remove_stale_temporaries(self, older_than: datetime) -> int:
        """Remove what writers that died left half written; returns how many."""

    def ping(self) -> None: ...


class StageMeter(Protocol):
    """Counts seconds over all processes and hosts. Never raises: a lost count must not lose work."""

    def observe_stage(self, stage: str, elapsed_s: float) -> None: ...

    def observe_job(self, status: str, audio_s: float, elapsed_s: float) -> None: ...

    def observe_cache(self, lookup: CacheLookup) -> None: ...


@dataclass(frozen=True, slots=True)
class CacheLookup:
    """One look into the stage cache: a miss without ``savings``, else a hit of so many stored bytes."""

    stage: str
    size_bytes: int = 0
    savings: Savings | None = None


class StageCache(Protocol):
    """Results of stages by the key of their content. Losing it costs time, never correctness, and raises nothing."""

    def get(self, key: str, *, job_id: str) -> bytes | None:
        """What was put there, and from now on the job's as well. Anything unreadable counts as absent."""

    def has(self, key: str) -> bool: ...

    def put(self, key: str, content: bytes, *, ttl_s: float, job_id: str) -> None:
        """Keep ``content`` for at most ``ttl_s`` as an entry of this job."""

    def drop(self, key: str, content: bytes) -> None:
        """Remove the entry if it is still this one: somebody may have put another one since. Atomic."""

    def delete_job(self, job_id: str) -> int:
        """Remove every entry the job put or got; returns how many there were. Raises QueueUnavailable."""


class Flights(Protocol):
    """Work under way, by key, over all hosts: of equal pieces of work one is done at a time."""

    def hold(self, key: str) -> AbstractContextManager[None]:
        """Hold the key while inside; a holder that dies loses it within seconds.

        Raises:
            WorkInFlight: another one holds it.
            QueueUnavailable: nobody can tell.
        """


@dataclass(frozen=True, slots=True)
class Lane:
    """A message for work of this ``kind`` on ``chunk``, which goes on with those that wait (``WaitingChunks``)."""

    kind: StepKind
    chunk: int


@dataclass(frozen=True, slots=True)
class FanOut:
    """A job's pieces to send: lanes for its chunks, and ``whole`` the pieces that want the recording in one.

    With ``is_long`` those, and the join, go to the queue of long work.
    """

    lanes: tuple[Lane, ...]
    whole: tuple[Piece, ...] = ()
    is_long: bool = False


class WaitingChunks(Protocol):
    """The chunks of a job that no lane has taken yet. Every method may raise QueueUnavailable."""

    def put(self, job_id: str, kind: StepKind, chunks: Sequence[int]) -> None:
        """Have these wait, in this order, and no others."""

    def take(self, job_id: str, kind: StepKind) -> int | None:
        """The next one, which nobody else gets; ``None`` when none is left or known."""


class JobQueue(Protocol):
    """Sends work to the workers, by name. Messages carry ids and at most small numbers."""

    def send_prepare(self, job_id: str, *, is_long: bool = False) -> None:
        """``is_long`` sends it to the queue of long work. Raises QueueUnavailable."""

    def send_fan_out(self, job_id: str, fan_out: FanOut) -> None:
        """One flat chord: the lanes, the diarization beside them, then finish. Raises QueueUnavailable."""

    def send_finish(self, job_id: str, *, is_long: bool = False) -> None:
        """Raises QueueUnavailable."""

    def send_wake(self, job_id: str, piece: Piece) -> None:
        """Have a piece that waits for a vendor looked at now, beside its own message. Raises QueueUnavailable."""

    def send_enrol(self, voiceprint_id: str) -> None:
        """Have a voiceprint made from the audio that was left for it. Raises QueueUnavailable."""

    def send_stop(self, stop: RemoteStop) -> None:
        """Have a vendor's job stopped that nobody waits for. Raises QueueUnavailable."""


class QueueWatch(Protocol):
    """Looks into the queue without taking anything out."""

    def jobs_in_queue(self) -> set[str]:
        """Ids of jobs that some message, waiting or held by a worker, refers to. Raises QueueUnavailable."""

    def count_processes(self, kind: StepKind) -> int:
        """Processes of living workers that take this kind of piece, 0 when none is known. Never raises."""
