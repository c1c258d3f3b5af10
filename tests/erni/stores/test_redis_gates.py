from __future__ import annotations

import heapq
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from itertools import pairwise

import pytest
from redis import Redis
from structlog.testing import capture_logs

from erni import redis_keys
from erni.capabilities import Terms
from erni.errors import (
    EngineAnswerInvalid,
    EngineNotAuthorised,
    EngineQuotaExhausted,
    EngineRateLimited,
    EngineRejected,
    EngineResting,
    EngineUnavailable,
    ErniError,
    JobStopped,
    QueueUnavailable,
    RemoteJobLost,
    SpendingCapReached,
    WorkPostponed,
)
from erni.ports import GateState
from erni.stores.gate_scripts import ENTER
from erni.stores.redis_gates import LEAVE_S, LOOK_AGAIN_S, GateTimes, RedisEngineGates

ENGINE = "vendor/model"
OTHER = "vendor/other-model"
FREE = Terms(account="vendor:1a2b")
FAILURES = 3
REST_S = 0.6
QUOTA_REST_S = 30.0
TIMES = GateTimes(window_s=1.5, lease_s=1.0, late_s=0.4)
WINDOW_S = TIMES.window_s

StartRedis = Callable[[], subprocess.Popen[bytes]]

HOLD = """
import sys, time
from redis import Redis
from erni.capabilities import Terms
from erni.stores.redis_gates import GateTimes, RedisEngineGates
times = GateTimes(lease_s=float(sys.argv[2]))
gates = RedisEngineGates(Redis.from_url(sys.argv[1]), failures=1, rest_s=1, quota_rest_s=1, times=times)
with gates.enter("vendor/model", Terms(account="vendor:1a2b", concurrency=1), "theirs"):
    print("inside", flush=True)
    time.sleep(60)
"""


def make_gates(client: Redis, times: GateTimes = TIMES) -> RedisEngineGates:
    return RedisEngineGates(client, failures=FAILURES, rest_s=REST_S, quota_rest_s=QUOTA_REST_S, times=times)


@pytest.fixture
def gates(redis_client: Redis) -> RedisEngineGates:
    return make_gates(redis_client)


def call(
    gates: RedisEngineGates,
    ticket: str = "a",
    error: Exception | None = None,
    terms: Terms = FREE,
    engine: str = ENGINE,
) -> None:
    """One call that ends at once, as ``error`` says."""
    with gates.enter(engine, terms, ticket):
        if error is not None:
            raise error


def fail(gates: RedisEngineGates, *errors: Exception, terms: Terms = FREE) -> None:
    for error in errors:
        with pytest.raises(type(error)):
            call(gates, error=error, terms=terms)


def told_s(gates: RedisEngineGates, ticket: str, terms: Terms, refusal: type[ErniError] = WorkPostponed) -> float:
    """When a call that is not let in is told to come back."""
    with pytest.raises(refusal) as refused:
        call(gates, ticket, terms=terms)
    assert refused.value.retry_after_s is not None
    return refused.value.retry_after_s


def state(gates: RedisEngineGates, terms: Terms = FREE) -> GateState:
    return gates.states({ENGINE: terms})[ENGINE]


def keepers() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name == "gate"]


def densest(moments: Sequence[float], window_s: float) -> int:
    """Most calls in any stretch of ``window_s``."""
    ordered = sorted(moments)
    return max(sum(first <= moment < first + window_s for moment in ordered) for first in ordered)


class Crowd:
    """Calls that come back when they are told to, as messages with a countdown do, to some workers."""

    def __init__(self, client: Redis, terms: Terms, *, late_s: float = 0.0) -> None:
        self._client, self._gates = client, make_gates(client)
        self._terms, self._late_s = terms, late_s
        self._due: list[tuple[float, str]] = []
        self._lock = threading.Lock()
        self.begun: dict[str, float] = {}
        self._counted: dict[bytes, float] = {}
        self.knocks: dict[str, int] = {}
        self.inside = self.most_inside = 0

    def run(self, tickets: Sequence[str], *, workers: int, call_s: float) -> float:
        """Seconds until every call was made."""
        self._due = [(0.0, ticket) for ticket in tickets]
        started = time.monotonic()
        threads = [threading.Thread(target=self._work, args=(len(tickets), call_s)) for _ in range(workers)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        return time.monotonic() - started

    @property
    def counted_s(self) -> list[float]:
        """When Redis let each call in."""
        return [moment_ms / 1000 for moment_ms in self._counted.values()]

    def _work(self, count: int, call_s: float) -> None:
        while len(self.begun) < count:
            with self._lock:
                is_due = bool(self._due) and self._due[0][0] <= time.monotonic()
                ticket = heapq.heappop(self._due)[1] if is_due else None
            if ticket is None:
                time.sleep(0.002)
            else:
                self._knock(ticket, call_s)

    def _knock(self, ticket: str, call_s: float) -> None:
        self.knocks[ticket] = self.knocks.get(ticket, 0) + 1
        try:
            with self._gates.enter(ENGINE, self._terms, ticket):
                counted = self._client.zrange(redis_keys.account_calls(self._terms.account), 0, -1, withscores=True)
                self._enter(ticket, 1)
                self._counted.update(counted)
                time.sleep(call_s)
                self._enter(None, -1)
        except WorkPostponed as postponed:
            back = time.monotonic() + (postponed.retry_after_s or 0.0) + self._late_s
            with self._lock:
                heapq.heappush(self._due, (back, ticket))

    def _enter(self, ticket: str | None, change: int) -> None:
        with self._lock:
            if ticket is not None:
                self.begun[ticket] = time.monotonic()
            self.inside += change
            self.most_inside = max(self.most_inside, self.inside)


def tickets(count: int) -> list[str]:
    return [f"{number:03}" for number in range(count)]


def test_no_more_calls_than_the_rate_begin_in_any_window_and_none_is_wasted(redis_client: Redis) -> None:
    terms = Terms(account="vendor:1a2b", requests_per_minute=10)
    crowd = Crowd(redis_client, terms)
    took_s = crowd.run(tickets(35), workers=4, call_s=0.01)
    assert len(crowd.counted_s) == 35
    assert densest(crowd.counted_s, WINDOW_S) == 10
    assert took_s < 1.2 * 3 * WINDOW_S


def test_calls_that_wait_for_the_rate_enter_in_the_order_they_came_without_a_crowd(redis_client: Redis) -> None:
    crowd = Crowd(redis_client, Terms(account="vendor:1a2b", requests_per_minute=5))
    crowd.run(tickets(15), workers=1, call_s=0.0)
    # Turns that are but the milliseconds apart by which a call came late may be swapped.
    in_order = [crowd.begun[ticket] for ticket in tickets(15)]
    assert in_order == pytest.approx(sorted(in_order), abs=0.05)
    assert sum(crowd.knocks.values()) <= 3 * 15


def test_rate_holds_also_when_calls_come_back_late(redis_client: Redis) -> None:
    crowd = Crowd(redis_client, Terms(account="vendor:1a2b", requests_per_minute=5), late_s=0.15)
    crowd.run(tickets(15), workers=4, call_s=0.01)
    assert len(crowd.counted_s) == 15
    assert densest(crowd.counted_s, WINDOW_S) == 5


def test_no_more_calls_than_there_are_places_are_inside_and_the_places_stay_busy(redis_client: Redis) -> None:
    terms, calls, call_s = Terms(account="vendor:1a2b", concurrency=3), 45, 0.2
    with make_gates(redis_client).enter(ENGINE, terms, "the one from which the gate learns how long a call takes"):
        time.sleep(call_s)
    crowd = Crowd(redis_client, terms)
    took_s = crowd.run(tickets(calls), workers=8, call_s=call_s)
    assert crowd.most_inside == 3
    # Ideal is once; calls that wait without being told well take ten times as long.
    assert took_s < 2 * calls * call_s / 3
    assert sum(crowd.knocks.values()) < 8 * calls


def test_ticket_that_comes_too_early_keeps_its_turn(gates: RedisEngineGates) -> None:
    terms = Terms(account="vendor:1a2b", requests_per_minute=1)
    call(gates, terms=terms)

    def turn_s(ticket: str) -> float:
        return time.monotonic() + told_s(gates, ticket, terms)

    early_s, later_s = turn_s("early"), turn_s("later")
    time.sleep(0.3)
    assert turn_s("early") == pytest.approx(early_s, abs=0.1)
    assert later_s - early_s == pytest.approx(WINDOW_S, abs=0.1)


def test_turn_that_nobody_takes_is_given_to_another(gates: RedisEngineGates) -> None:
    terms = Terms(account="vendor:1a2b", requests_per_minute=1)
    call(gates, terms=terms)
    time.sleep(told_s(gates, "vanished", terms) + TIMES.late_s + 0.05)
    call(gates, "new", terms=terms)


def test_accounts_do_not_count_against_each_other_but_models_of_one_do(gates: RedisEngineGates) -> None:
    terms = Terms(account="vendor:1a2b", requests_per_minute=1)
    call(gates, terms=terms)
    call(gates, terms=Terms(account="vendor:3c4d", requests_per_minute=1))
    with pytest.raises(WorkPostponed):
        call(gates, terms=terms, engine=OTHER)


def test_rate_refusal_closes_the_account_for_all_until_the_time_it_named(redis_client: Redis) -> None:
    here, elsewhere = make_gates(redis_client), make_gates(redis_client)
    fail(here, EngineRateLimited("Too often.", retry_after_s=1.0))
    assert 0.5 < told_s(elsewhere, "b", FREE) <= 1.0
    assert 0 < state(here).closed_s <= 1.0
    assert state(here).breaker == "closed"
    time.sleep(1.0)
    call(elsewhere, "b")


def test_those_who_wait_for_a_closed_account_come_back_one_after_another(gates: RedisEngineGates) -> None:
    terms = Terms(account="vendor:1a2b", requests_per_minute=5)
    fail(gates, EngineRateLimited("Too often.", retry_after_s=5.0), terms=terms)
    waits = [told_s(gates, ticket, terms) for ticket in tickets(4)]
    steps = [later - earlier for earlier, later in pairwise(waits)]
    assert steps == pytest.approx([WINDOW_S / 5] * 3, abs=0.1)


def test_refusals_without_a_time_close_the_account_for_longer_and_longer(gates: RedisEngineGates) -> None:
    fail(gates, EngineRateLimited("Too often."))
    assert 0.5 < state(gates).closed_s <= 1.0
    time.sleep(1.05)
    fail(gates, EngineRateLimited("Too often."))
    assert 1.5 < state(gates).closed_s <= 2.0


def test_breaker_opens_after_failures_in_a_row_for_every_worker(redis_client: Redis) -> None:
    here, elsewhere = make_gates(redis_client), make_gates(redis_client)
    fail(here, *[EngineUnavailable("Out.")] * (FAILURES - 1))
    call(elsewhere)
    fail(elsewhere, EngineUnavailable("Out."), EngineAnswerInvalid("Nonsense."), EngineUnavailable("Out."))
    assert 0 < told_s(here, "b", FREE, EngineResting) <= REST_S
    assert (state(here).breaker, state(here).failures) == ("open", FAILURES)
    call(here, engine=OTHER)


def test_after_its_rest_one_call_at_a_time_tries_the_engine_and_success_closes_the_breaker(
    gates: RedisEngineGates,
) -> None:
    fail(gates, *[EngineUnavailable("Out.")] * FAILURES)
    time.sleep(REST_S)
    assert state(gates).breaker == "half_open"
    with gates.enter(ENGINE, FREE, "probe"):
        time.sleep(TIMES.lease_s * 1.5)
        assert told_s(gates, "b", FREE, EngineResting) == LOOK_AGAIN_S
    assert state(gates) == GateState("closed", failures=0, rest_s=0, closed_s=0, in_flight=0, waiting=0)
    call(gates, "b")


def test_failed_try_opens_the_breaker_again_at_once(gates: RedisEngineGates) -> None:
    fail(gates, *[EngineUnavailable("Out.")] * FAILURES)
    time.sleep(REST_S)
    fail(gates, EngineUnavailable("Out."))
    assert 0 < told_s(gates, "b", FREE, EngineResting) <= REST_S


@pytest.mark.parametrize("error", [EngineRateLimited("Too often.", retry_after_s=0.01), JobStopped("Stopped.")])
def test_try_that_says_nothing_lets_the_next_call_try(gates: RedisEngineGates, error: Exception) -> None:
    fail(gates, *[EngineUnavailable("Out.")] * FAILURES)
    time.sleep(REST_S)
    fail(gates, error)
    time.sleep(0.02)
    call(gates, "b")
    assert state(gates).breaker == "closed"


def test_call_from_before_the_breaker_opened_does_not_close_it(gates: RedisEngineGates) -> None:
    with gates.enter(ENGINE, FREE, "slow"):
        fail(gates, *[EngineUnavailable("Out.")] * FAILURES)
    assert state(gates).breaker == "open"


@pytest.mark.parametrize("error", [EngineNotAuthorised("No."), EngineQuotaExhausted("No money.")])
def test_fault_of_our_account_opens_the_breaker_at_once_and_for_long(
    gates: RedisEngineGates, error: EngineNotAuthorised
) -> None:
    fail(gates, error)
    assert QUOTA_REST_S - 1 < told_s(gates, "b", FREE, EngineResting) <= QUOTA_REST_S


@pytest.mark.parametrize(
    "error",
    [
        EngineRateLimited("Too often.", retry_after_s=0.001),
        EngineRejected("Not this."),
        RemoteJobLost("Gone."),
        JobStopped("Stopped."),
        SpendingCapReached("Enough."),
        ValueError("A bug."),
    ],
)
def test_error_that_is_no_outage_does_not_open_the_breaker(gates: RedisEngineGates, error: Exception) -> None:
    for _ in range(FAILURES + 1):
        fail(gates, error)
        time.sleep(0.005)
    assert state(gates).breaker == "closed"
    assert state(gates).failures == 0


def test_place_is_freed_also_when_the_call_failed(gates: RedisEngineGates) -> None:
    terms = Terms(account="vendor:1a2b", concurrency=1)
    fail(gates, EngineRejected("Not this."), ValueError("A bug."), terms=terms)
    call(gates, terms=terms)
    assert keepers() == []


def test_state_counts_calls_inside_and_those_told_to_come_back(gates: RedisEngineGates) -> None:
    terms = Terms(account="vendor:1a2b", concurrency=1)
    with gates.enter(ENGINE, terms, "a"):
        told_s(gates, "b", terms)
        told_s(gates, "c", terms)
        assert (state(gates, terms).in_flight, state(gates, terms).waiting) == (1, 2)


def test_place_is_kept_beyond_its_lease_by_who_lives_and_freed_after_it_by_who_was_killed(
    redis_url: str, redis_client: Redis
) -> None:
    gates, terms = make_gates(redis_client), Terms(account="vendor:1a2b", concurrency=1)
    command = [sys.executable, "-c", HOLD, redis_url, str(TIMES.lease_s)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "inside\n"
        time.sleep(1.5 * TIMES.lease_s)
        told_s(gates, "mine", terms)
        holder.kill()
    time.sleep(TIMES.lease_s + 0.1)
    assert state(gates, terms).in_flight == 0


def test_client_that_asks_again_after_a_cut_connection_is_counted_once(
    gates: RedisEngineGates, redis_client: Redis
) -> None:
    terms = Terms(account="vendor:1a2b", requests_per_minute=2, concurrency=1)
    names = (redis_keys.account_calls, redis_keys.account_turns, redis_keys.account_leases, redis_keys.account)
    keys = [*(name(terms.account) for name in names), redis_keys.breaker(ENGINE)]
    figures = ["2", "1", "60000", "60000", "5000"]
    for _ in range(2):
        assert redis_client.eval(ENTER, len(keys), *keys, "ticket", "call", *figures) == [b"enter", 0]
    assert state(gates, terms).in_flight == 1


def test_nothing_is_left_in_redis_for_good(gates: RedisEngineGates, redis_client: Redis) -> None:
    terms = Terms(account="vendor:1a2b", requests_per_minute=2, concurrency=1)
    fail(gates, EngineUnavailable("Out."), EngineRateLimited("Too often.", retry_after_s=0.01), terms=terms)
    told_s(gates, "b", terms)
    kept: Mapping[bytes, int] = {key: redis_client.pttl(key) for key in redis_client.scan_iter("erni:*")}
    assert redis_keys.account_turns(terms.account).encode() in kept
    assert all(life_ms > 0 for life_ms in kept.values()), kept


def test_gates_are_open_while_redis_is_away_which_is_logged_once(own_client: Redis, start_redis: StartRedis) -> None:
    gates, terms = make_gates(own_client), Terms(account="vendor:1a2b", concurrency=1)
    with capture_logs() as logged:
        with gates.enter(ENGINE, terms, "a"):
            call(gates, "b", terms=terms)
        with pytest.raises(EngineUnavailable):
            call(gates, error=EngineUnavailable("Out."))
    assert [entry["event"] for entry in logged] == ["gates_open"]
    with pytest.raises(QueueUnavailable):
        state(gates)
    start_redis()
    with gates.enter(ENGINE, terms, "a"):
        told_s(gates, "b", terms)


def test_leaving_while_redis_hangs_waits_a_moment_only(own_client: Redis, start_redis: StartRedis) -> None:
    server = start_redis()
    with make_gates(own_client).enter(ENGINE, FREE, "a"):
        server.send_signal(signal.SIGSTOP)
        left_s = time.monotonic()
    assert time.monotonic() - left_s < LEAVE_S + 0.5
    server.send_signal(signal.SIGCONT)
