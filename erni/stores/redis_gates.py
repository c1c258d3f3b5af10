"""The gates of remote engines in Redis: how often, how many at a time, and whether at all, over all workers.

An account's calls per minute are a sliding window with reservations: whoever has to wait is given a turn, is told
when it is, and finds it kept, so that those who wait neither crowd the vendor nor each other. Places are leases, as in
``redis_flights``, because a worker may be killed at any moment. A breaker per engine follows Nygard, "Release It!",
2007: closed, open after failures in a row, then half open for one call that tries it.
"""

from __future__ import annotations

import threading
import time
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final, Literal, cast

import structlog
from redis import Redis
from redis.exceptions import RedisError

from erni import redis_keys
from erni.capabilities import Terms
from erni.errors import (
    EngineError,
    EngineNotAuthorised,
    EngineQuotaExhausted,
    EngineRateLimited,
    EngineRejected,
    EngineResting,
    QueueUnavailable,
    RemoteJobLost,
    WorkPostponed,
)
from erni.ports import GateState
from erni.retrying import LONGEST_RETRY_AFTER_S
from erni.stores import gate_scripts

log = structlog.get_logger(__name__)

LEAVE_S: Final = 2.0
"""Longest wait for Redis to free a place: a hung one must not hold up work that is done."""
LOOK_AGAIN_S: Final = 2.0
"""While one call tries an engine that rested, the others ask again after this long."""
_RENEWALS_PER_LEASE: Final = 4

Verdict = Literal["works", "out", "barred", "refused", "none"]
"""What a call says of its engine: it works, it is out, our key or quota is at fault, too many calls, or nothing."""


@dataclass(frozen=True, slots=True)
class GateTimes:
    """``window_s`` is the minute of the limits, and some for requests that travel at unequal speed. A worker that died
    frees its place after ``lease_s``; a turn that nobody takes keeps others out for ``late_s``.
    """

    window_s: float = 60.5
    lease_s: float = 15.0
    late_s: float = 5.0


@dataclass(slots=True)
class _Call:
    """A call under way, and what it has come to."""

    engine: str
    account: str
    call_id: str
    began_s: float
    verdict: Verdict = "none"
    rest_s: float = 0.0


_TIMES: Final = GateTimes()


class RedisEngineGates:
    """The ``EngineGates`` port. ``failures`` in a row leave an engine alone for ``rest_s``; a fault of our key or quota
    does so at once, for ``quota_rest_s``.
    """

    def __init__(
        self, redis: Redis, *, failures: int, rest_s: float, quota_rest_s: float, times: GateTimes = _TIMES
    ) -> None:
        self._redis = redis
        self._failures = failures
        self._rest_s = rest_s
        self._quota_rest_s = quota_rest_s
        self._times = times
        self._is_out = False

    @contextmanager
    def enter(self, engine: str, terms: Terms, ticket: str) -> Iterator[None]:
        call = _Call(engine, terms.account, uuid.uuid4().hex, time.monotonic())
        done = threading.Event()
        keeper = threading.Thread(target=self._keep, args=(call, done), daemon=True, name="gate")
        # A time limit may strike at any line: from before the thread starts, whatever happens must also end it.
        try:
            if self._ask(call, terms, ticket):
                keeper.start()
            yield
            call.verdict = "works"
        except EngineError as error:
            call.verdict, call.rest_s = self._judge(error)
            raise
        finally:
            done.set()
            if keeper.is_alive():
                keeper.join(LEAVE_S)

    def states(self, engines: Mapping[str, Terms]) -> Mapping[str, GateState]:
        try:
            now_s = self._now_s()
            return {engine: self._state(engine, terms.account, now_s) for engine, terms in engines.items()}
        except RedisError as error:
            raise QueueUnavailable("Redis does not say how the engines' gates stand.") from error

    def _ask(self, call: _Call, terms: Terms, ticket: str) -> bool:
        """Whether the call is to be counted: not while Redis is away."""
        account = call.account
        keys = [redis_keys.account_calls(account), redis_keys.account_turns(account)]
        keys += [redis_keys.account_leases(account), redis_keys.account(account), redis_keys.breaker(call.engine)]
        times = (self._times.lease_s, self._times.window_s, self._times.late_s)
        figures = [terms.requests_per_minute or 0, terms.concurrency or 0, *map(_ms, times)]
        arguments = [f"{call.engine}|{ticket}", call.call_id, *map(str, figures)]
        try:
            answer = self._redis.eval(gate_scripts.ENTER, len(keys), *keys, *arguments)
        except RedisError as error:
            if not self._is_out:
                log.warning("gates_open", error=type(error).__name__)
            self._is_out = True
            return False
        self._is_out = False
        word, wait_ms = cast("tuple[bytes, int]", answer)
        _refuse(call.engine, word.decode(), wait_ms / 1000)
        return True

    def _keep(self, call: _Call, done: threading.Event) -> None:
        """Renew until done, then free the place and say how the call ended."""
        leases, breaker = redis_keys.account_leases(call.account), redis_keys.breaker(call.engine)
        lease_ms = str(_ms(self._times.lease_s))
        while not done.wait(self._times.lease_s / _RENEWALS_PER_LEASE):
            try:
                self._redis.eval(gate_scripts.RENEW, 2, leases, breaker, call.call_id, lease_ms)
            except RedisError as error:
                log.warning("gate_lease_not_renewed", error=type(error).__name__)
        self._leave(call)

    def _leave(self, call: _Call) -> None:
        keys = [redis_keys.account_leases(call.account), redis_keys.account(call.account)]
        keys.append(redis_keys.breaker(call.engine))
        took_ms = _ms(time.monotonic() - call.began_s)
        arguments = (call.call_id, call.verdict, str(_ms(call.rest_s)), str(self._failures), str(took_ms))
        try:
            has_opened = self._redis.eval(gate_scripts.LEAVE, len(keys), *keys, *arguments)
        except RedisError as error:
            # Unfreed it ends with its lease.
            log.warning("gate_verdict_lost", engine=call.engine, verdict=call.verdict, error=type(error).__name__)
            return
        if has_opened:
            log.warning("breaker_opened", engine=call.engine, reason=call.verdict, rest_s=call.rest_s)

    def _judge(self, error: EngineError) -> tuple[Verdict, float]:
        """What an error says of the engine, and for how long it or the account is left alone (0: not told)."""
        match error:
            case EngineRateLimited():
                return "refused", min(max(error.retry_after_s or 0.0, 0.0), LONGEST_RETRY_AFTER_S)
            case EngineNotAuthorised() | EngineQuotaExhausted():
                return "barred", self._quota_rest_s
            case EngineRejected():
                # Whoever refuses an input has read it.
                return "works", 0.0
            case EngineResting() | RemoteJobLost():
                return "none", 0.0
        return "out", self._rest_s

    def _state(self, engine: str, account: str, now_s: float) -> GateState:
        with self._redis.pipeline(transaction=False) as pipeline:
            pipeline.hmget(redis_keys.breaker(engine), "failures", "open_until")
            pipeline.hget(redis_keys.account(account), "closed_until")
            pipeline.zcount(redis_keys.account_leases(account), now_s * 1000, "+inf")
            pipeline.zcount(redis_keys.account_turns(account), (now_s - self._times.late_s) * 1000, "+inf")
            (failures, open_until), closed_until, in_flight, waiting = pipeline.execute()
        rest_s = float(open_until or 0) / 1000 - now_s
        return GateState(
            breaker="open" if rest_s > 0 else "half_open" if open_until else "closed",
            failures=int(failures or 0),
            rest_s=max(0.0, rest_s),
            closed_s=max(0.0, float(closed_until or 0) / 1000 - now_s),
            in_flight=in_flight,
            waiting=waiting,
        )

    def _now_s(self) -> float:
        seconds, microseconds = self._redis.time()
        return seconds + microseconds / 1e6


def _refuse(engine: str, word: str, wait_s: float) -> None:
    """Raise what an answer other than ``enter`` means."""
    match word:
        case "wait":
            raise WorkPostponed(f"The calls to {engine} take turns.", retry_after_s=wait_s)
        case "resting":
            raise EngineResting(f"{engine} failed again and again, so it is left alone.", retry_after_s=wait_s)
        case "probed":
            raise EngineResting(f"{engine} was left alone, and one call tries it now.", retry_after_s=LOOK_AGAIN_S)


def _ms(seconds: float) -> int:
    return round(seconds * 1000)
