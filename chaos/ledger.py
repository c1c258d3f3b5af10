"""The engine's book: every call it got, by whom, and how it ended; and which payments were made twice, and why.

Pure but for the lock. Times are ``time.monotonic()`` seconds of the process that runs the chaos.
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Final, Literal

Outcome = Literal["open", "paid", "refused", "cut", "hung", "garbled"]

KEEP_S: Final = 1.0
"""From an answer's last byte until the worker has surely kept it; one killed meanwhile may lose it."""


@dataclass(frozen=True, slots=True)
class Call:
    """One call. ``pid`` is the process that made it, ``None`` where there was none any more.

    ``paid`` is work done and answered, whether or not the caller lived to read it; the other ends cost nothing.
    """

    number: int
    work: str
    key: str
    digest: str
    pid: int | None
    begun_s: float
    ended_s: float | None = None
    outcome: Outcome = "open"


@dataclass(frozen=True, slots=True)
class Injection:
    """A fault that was injected: from ``at_s``, until ``over_s``; ``killed`` are the processes it killed outright.

    ``redis_back_s`` is when Redis answered again, where the fault took it away.
    """

    number: int
    kind: str
    at_s: float
    over_s: float
    killed: frozenset[int] = frozenset()
    redis_back_s: float | None = None

    def struck_caller(self, call: Call) -> bool:
        """Whether the call's process may have died of this before it had kept the answer.

        A call without a process was made by one that was gone when the engine looked for it: what a process has
        sent is read even after its death.
        """
        kept_s = None if call.ended_s is None else call.ended_s + KEEP_S
        is_in_time = kept_s is None or self.at_s <= kept_s
        if call.pid is None:
            return bool(self.killed) and is_in_time and call.begun_s <= self.over_s + KEEP_S
        return call.pid in self.killed and is_in_time and call.begun_s <= self.over_s


@dataclass(frozen=True, slots=True)
class DoublePayment:
    """Two payments for one key. ``excuse`` says why Erni could not help it, ``None`` when it should have; ``fault`` is
    the kind of the fault that excuses it.
    """

    first: Call
    second: Call
    excuse: str | None = None
    fault: str | None = None


class Ledger:
    """Every call, in the order of their begin. Safe for threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._calls: list[Call] = []
        self._misdeeds: Counter[str] = Counter()

    def begin(self, call: Call) -> Call:
        """Enter a call; returns it with its number."""
        with self._lock:
            entered = replace(call, number=len(self._calls))
            self._calls.append(entered)
        return entered

    def end(self, number: int, outcome: Outcome, ended_s: float) -> None:
        with self._lock:
            self._calls[number] = replace(self._calls[number], outcome=outcome, ended_s=ended_s)

    def may_misbehave(self, key: str, limit: int) -> bool:
        """Count a bad answer to this key, unless it already had ``limit``: retries must be able to succeed."""
        with self._lock:
            if self._misdeeds[key] >= limit:
                return False
            self._misdeeds[key] += 1
        return True

    def calls(self, since: int = 0) -> Sequence[Call]:
        """The calls from number ``since`` on, as they stand now."""
        with self._lock:
            return self._calls[since:]


def find_hit(calls: Iterable[Call], injection: Injection) -> list[Call]:
    """The calls that killed processes had under way, without an answer when they were gone."""
    return [
        call
        for call in calls
        if injection.struck_caller(call) and (call.ended_s is None or call.ended_s > injection.over_s)
    ]


def are_made_again(calls: Sequence[Call], hit: Iterable[Call], injection: Injection) -> bool:
    """Whether each of these calls has been followed, after the fault, by another one with its key."""
    latest = {call.key: call.number for call in calls if call.begun_s > injection.over_s}
    return all(latest.get(call.key, -1) > call.number for call in hit)


def find_spoiled(calls: Iterable[Call], injection: Injection) -> list[Call]:
    """The calls that began in the time of the fault and got no good answer."""
    return [
        call
        for call in calls
        if injection.at_s <= call.begun_s <= injection.over_s and call.outcome not in {"paid", "open"}
    ]


def find_double_payments(
    calls: Iterable[Call], injections: Sequence[Injection], shared_digests: frozenset[str]
) -> list[DoublePayment]:
    """Each payment for a key after its first, with its excuse.

    ``shared_digests`` are of audio that equal jobs sent, which answer each other out of the cache.
    """
    by_key: dict[str, list[Call]] = {}
    for call in calls:
        if call.outcome == "paid":
            by_key.setdefault(call.key, []).append(call)
    return [
        _judge(first, second, injections, is_shared=first.digest in shared_digests)
        for paid in by_key.values()
        for first, second in pairwise(paid)
    ]


def _judge(first: Call, second: Call, injections: Sequence[Injection], *, is_shared: bool) -> DoublePayment:
    for injection in injections:
        excuse = _excuse(first, second, injection, is_shared=is_shared)
        if excuse is not None:
            return DoublePayment(first, second, excuse, injection.kind)
    return DoublePayment(first, second)


def _excuse(first: Call, second: Call, injection: Injection, *, is_shared: bool) -> str | None:
    """Why the first answer could not be known when the second was asked for, if this fault is to blame.

    - Its caller was killed before it had kept the answer.
    - The disk was full when the answer came, so that it could not be kept.
    - Equal jobs, and the cache was lost between them or could not take the answer, because Redis was flushed or away.
    """
    if first.ended_s is None:
        return None
    if injection.struck_caller(first):
        return "caller killed"
    if injection.kind == "disk-full" and injection.at_s <= first.ended_s + KEEP_S and first.ended_s <= injection.over_s:
        return "disk full"
    return "cache lost" if is_shared and _may_lose_cache(injection, first, second) else None


def _may_lose_cache(injection: Injection, first: Call, second: Call) -> bool:
    """Whether Redis forgot the answer, was away when it came, or was away when the second call was decided on.

    Redis writes its file every second: a kill loses what it was told in the last one.
    """
    if first.ended_s is None:
        return False
    if injection.kind == "flushall":
        return first.begun_s <= injection.at_s <= second.begun_s
    if injection.redis_back_s is None:
        return False
    until_s = injection.redis_back_s + KEEP_S
    was_lost = injection.at_s - KEEP_S <= first.ended_s + KEEP_S and first.ended_s <= until_s
    return was_lost or injection.at_s <= second.begun_s <= until_s
