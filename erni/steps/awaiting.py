"""Pieces that a vendor's own job does: submitted once, then looked at now and then, or when the vendor calls. Meanwhile
no worker is held: between two looks a piece is nothing but its record and a message with a countdown.

The record says that a submission was begun before it is, and under which id the vendor knows it afterwards. Equal
pieces of other jobs find that id in the stage cache and wait for the same vendor's job. Where the submission's answer
was lost, the id is told by the vendor's list of jobs, or by its webhook.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Final, Generic, Protocol, TypeVar
from urllib.parse import urlencode

import structlog

from erni.capabilities import DiarizerCapabilities, TranscriberCapabilities
from erni.engine_ports import RemoteJobs
from erni.errors import EngineAnswerInvalid, EngineRejected, EngineUnavailable, RemoteJobLost, WorkPostponed
from erni.jobs import Job, Piece, Step
from erni.model import Bill
from erni.retrying import LONGEST_RETRY_AFTER_S
from erni.services import Services
from erni.stage_keys import StageKey
from erni.steps.calling import engine_call
from erni.steps.paying import NOT_BILLED, book_call, close_call, settle_call
from erni.steps.running import StepRun
from erni.steps.working import PieceWork

log = structlog.get_logger(__name__)


class Billed(Protocol):
    """An answer that may say what it cost."""

    @property
    def bill(self) -> Bill | None: ...


T = TypeVar("T", bound=Billed)

REMEMBERED_S: Final = 24 * 3600.0
"""How long equal pieces find a vendor's job; pyannote.ai throws answers away after a day, Replicate after an hour."""

DEFAULT_POLL_S: Final = 10.0
MOST_BAD_ANSWERS: Final = 4


@dataclass(frozen=True, slots=True)
class RemoteWork(Generic[T]):
    """What is asked of a vendor: ``submit`` sends it, with the URL to call when it is over, and returns its id.

    ``has_next`` says that another engine takes over where this one is given up.
    """

    jobs: RemoteJobs[T]
    submit: Callable[[str | None], str]
    capabilities: TranscriberCapabilities | DiarizerCapabilities
    key: StageKey
    audio_s: float
    has_next: bool


def answer_or_wait(services: Services, work: PieceWork, run: StepRun, remote: RemoteWork[T]) -> T:
    """The answer of the vendor's job for this piece, which is submitted first where that was not done.

    Raises:
        WorkPostponed: the vendor's job is not over; look again later.
        EngineError: it failed for good, or cannot be submitted.
        SpendingCapReached: there is no money for it.
    """
    if run.step.remote_id is None:
        _submit(services, work, run, remote)
        raise _wait(services, work.job, run, 0.0)
    return _collect(services, work, run, remote, run.step.remote_id)


def spared_usd(run: StepRun, capabilities: TranscriberCapabilities | DiarizerCapabilities, audio_s: float) -> float:
    """What an earlier result spares: nothing where it is the answer of the job this piece waits for, which an equal one
    collected first.
    """
    return capabilities.price(audio_s) if run.step.remote_id is None else 0.0


def provider_of(engine: str) -> str:
    """The vendor's part of an engine's name."""
    return engine.partition("/")[0]


def _submit(services: Services, work: PieceWork, run: StepRun, remote: RemoteWork[T]) -> None:
    known = services.cache.get(remote.key.remote, job_id=work.job.job_id)
    remote_id = known.decode() if known else _find_lost(services, work, run, remote)
    if remote_id is None:
        _await_lost_answer(services, work.job, run)
        remote_id = _submit_anew(services, work, run, remote)
        log.info("remote_job_submitted", engine=run.step.engine, remote_id=remote_id)
    else:
        log.info("remote_job_adopted", engine=run.step.engine, remote_id=remote_id)
    # First where equal pieces look, and this one as well: the records may be away just now.
    services.cache.put(remote.key.remote, remote_id.encode(), ttl_s=REMEMBERED_S, job_id=work.job.job_id)
    now = services.clock()
    # Waits for a turn or for our own stores were none for this job.
    _note(services, run, remote_id=remote_id, submitted_at=run.step.submitted_at or now, heard_at=now, waits=0)


def _find_lost(services: Services, work: PieceWork, run: StepRun, remote: RemoteWork[T]) -> str | None:
    """The job an earlier submission began although its answer was lost, or was one that says otherwise; it is on the
    ledger from then on.
    """
    if run.step.submitted_at is None and not run.step.attempts:
        return None
    remote_id = remote.jobs.find_submitted(remote.key.own)
    if remote_id is not None and run.step.submitted_at is None:
        _note(services, run, submitted_at=services.clock())
        book_call(services, work.job, run.step, remote.capabilities, remote.audio_s)
    return remote_id


def _await_lost_answer(services: Services, job: Job, run: StepRun) -> None:
    """Raises WorkPostponed while a webhook may still tell the id of a job whose submission got no answer."""
    step = run.step
    if step.submitted_at is None or _callback_url(services, job, step) is None:
        return
    left_s = services.limits.remote.awaited_poll_s - (services.clock() - step.submitted_at).total_seconds()
    if left_s > 0:
        raise _postpone(services, run, left_s, f"{step.engine} did not say whether it took the job; its webhook would.")


def _submit_anew(services: Services, work: PieceWork, run: StepRun, remote: RemoteWork[T]) -> str:
    before, now = run.step.submitted_at, services.clock()
    begun = replace(run.step, submitted_at=now)
    with engine_call(services, work.job, begun, remote.capabilities, remote.audio_s):
        _note(services, run, submitted_at=now)
        try:
            return remote.submit(_callback_url(services, work.job, run.step))
        except NOT_BILLED:
            # Nothing was begun there, so nothing is to be looked for.
            _note(services, run, submitted_at=before)
            raise


def _collect(services: Services, work: PieceWork, run: StepRun, remote: RemoteWork[T], remote_id: str) -> T:
    try:
        answer = remote.jobs.collect(remote_id)
    except (RemoteJobLost, EngineRejected) as end:
        close_call(services, work.job, run.step, remote.capabilities, end)
        _forget(services, run, remote)
        raise
    except EngineUnavailable as error:
        # The vendor's job goes on whether we reach the vendor or not.
        left_s = _check_patience(services, run, remote)
        asked_s = min(error.retry_after_s or 0.0, LONGEST_RETRY_AFTER_S, left_s)
        raise _wait(services, work.job, run, asked_s, error.message) from error
    except EngineAnswerInvalid as error:
        # Asked again a few times: the job is paid for, whatever became of this answer.
        if run.step.waits >= MOST_BAD_ANSWERS:
            raise _give_up(services, run, remote, error.message) from error
        _note(services, run, waits=run.step.waits + 1)
        raise _wait(services, work.job, run, 0.0, error.message) from error
    if answer is None:
        _note(services, run, heard_at=services.clock(), waits=0)
        _check_patience(services, run, remote)
        raise _wait(services, work.job, run, 0.0)
    settle_call(services, work.job, run.step, remote.capabilities, answer.bill)
    return answer


def _forget(services: Services, run: StepRun, remote: RemoteWork[T]) -> None:
    """Equal pieces find this vendor's job no more; one that somebody submitted in its place they do."""
    if run.step.remote_id is not None:
        services.cache.drop(remote.key.remote, run.step.remote_id.encode())
    _note(services, run, remote_id=None, submitted_at=None, heard_at=None)


def _check_patience(services: Services, run: StepRun, remote: RemoteWork[T]) -> float:
    """For how many seconds more the vendor's job may be waited for like this.

    Raises EngineRejected where it takes longer than any may, or the vendor has been out for long and another engine can
    take over.
    """
    step, limits, now = run.step, services.limits.remote, services.clock()
    submitted_at = step.submitted_at or now
    left_s = limits.longest_s - (now - submitted_at).total_seconds()
    if left_s < 0:
        raise _give_up(services, run, remote, f"{step.engine} did not end its job within {limits.longest_s:.0f} s.")
    if remote.has_next:
        left_s = min(left_s, limits.silent_s - (now - (step.heard_at or submitted_at)).total_seconds())
    if left_s < 0:
        reason = f"{step.engine} could not be asked about its job for {limits.silent_s:.0f} s."
        raise _give_up(services, run, remote, reason)
    return left_s


def _give_up(services: Services, run: StepRun, remote: RemoteWork[T], reason: str) -> EngineRejected:
    """Whoever asks again asks for another job than this one."""
    _forget(services, run, remote)
    return EngineRejected(reason)


def _wait(services: Services, job: Job, run: StepRun, at_least_s: float, reason: str | None = None) -> WorkPostponed:
    """Record when the vendor is asked again."""
    provider = provider_of(run.step.engine or "")
    limits = services.limits.remote
    is_awaited = _callback_url(services, job, run.step) is not None
    poll_s = limits.awaited_poll_s if is_awaited else limits.poll_s.get(provider, DEFAULT_POLL_S)
    return _postpone(services, run, max(poll_s, at_least_s), reason or f"{run.step.engine} is at it.")


def _postpone(services: Services, run: StepRun, delay_s: float, reason: str) -> WorkPostponed:
    _note(services, run, retry_at=services.clock() + timedelta(seconds=delay_s), reason=reason)
    return WorkPostponed(reason, retry_after_s=delay_s)


def _note(services: Services, run: StepRun, **changes: object) -> None:
    run.step = replace(run.step, **changes)  # type: ignore[arg-type]  # the callers are above
    services.jobs.save_step(run.step)


def _callback_url(services: Services, job: Job, step: Step) -> str | None:
    """Where the vendor says that its job is over. Names the piece, for a webhook faster than the record of its id."""
    limits, provider = services.limits.remote, provider_of(step.engine or "")
    if limits.public_url is None or job.options.completion == "poll" or provider not in limits.signing:
        return None
    query = urlencode({"job": job.job_id, "piece": format_piece(step.piece)})
    return f"{limits.public_url.rstrip('/')}/v1/hooks/{provider}?{query}"


def format_piece(piece: Piece) -> str:
    return f"{piece.kind}.{piece.part}"
