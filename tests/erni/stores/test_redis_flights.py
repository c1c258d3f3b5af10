from __future__ import annotations

import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from types import FrameType

import pytest
from redis import Redis

from erni import redis_keys
from erni.errors import QueueUnavailable, WorkInFlight
from erni.stores.redis_flights import LEAVE_S, LOOK_AGAIN_S, RedisFlights

KEY = "work"
LEASE_S = 1.0
RENEWED_S = LEASE_S / 4 + 0.2
"""By then a living holder has renewed its lease."""

StartRedis = Callable[[], subprocess.Popen[bytes]]

HOLD = """
import sys, time
from redis import Redis
from erni.errors import WorkInFlight
from erni.stores.redis_flights import RedisFlights
flights = RedisFlights(Redis.from_url(sys.argv[1]), lease_s=float(sys.argv[2]))
print("ready", flush=True)
input()
try:
    with flights.hold("work"):
        print("inside", flush=True)
        time.sleep(float(sys.argv[3]))
except WorkInFlight:
    print("outside")
"""


def is_free(client: Redis) -> bool:
    try:
        with RedisFlights(client, lease_s=LEASE_S).hold(KEY):
            return True
    except WorkInFlight:
        return False


def wait_until(condition: Callable[[], bool], timeout_s: float) -> float:
    """Seconds until it was so."""
    started_s = time.monotonic()
    while not condition():
        assert time.monotonic() - started_s < timeout_s
        time.sleep(0.02)
    return time.monotonic() - started_s


def keepers() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name == "flight"]


@pytest.fixture
def flights(redis_client: Redis) -> RedisFlights:
    return RedisFlights(redis_client, lease_s=LEASE_S)


def test_of_processes_that_want_the_same_work_at_once_one_gets_it(
    redis_url: str, run_together: Callable[..., list[str]]
) -> None:
    printed = run_together(HOLD, redis_url, "5", "2", processes=4)
    assert sorted(printed) == ["inside\n", "outside\n", "outside\n", "outside\n"]


def test_work_in_flight_says_when_to_look_again(flights: RedisFlights) -> None:
    with flights.hold(KEY):
        with pytest.raises(WorkInFlight) as refused, flights.hold(KEY):
            pytest.fail("held twice")
        assert refused.value.retry_after_s == LOOK_AGAIN_S
        with flights.hold("other work"):
            pass


def test_key_is_free_after_the_block_also_when_that_failed(flights: RedisFlights, redis_client: Redis) -> None:
    with flights.hold(KEY):
        pass
    assert not redis_client.exists(redis_keys.flight(KEY))
    with pytest.raises(ZeroDivisionError), flights.hold(KEY):
        raise ZeroDivisionError
    assert not redis_client.exists(redis_keys.flight(KEY))


def test_no_thread_outlives_the_block_nor_begins_for_the_refused(flights: RedisFlights) -> None:
    with flights.hold(KEY):
        assert len(keepers()) == 1
        with pytest.raises(WorkInFlight), flights.hold(KEY):
            pytest.fail("held twice")
        assert len(keepers()) == 1
    assert keepers() == []


def test_killed_holder_frees_the_key_within_its_lease(redis_url: str, redis_client: Redis) -> None:
    command = [sys.executable, "-c", HOLD, redis_url, str(LEASE_S), "60"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdin is not None
        assert holder.stdout is not None
        holder.stdin.write("go\n")
        holder.stdin.flush()
        assert [holder.stdout.readline() for _ in range(2)] == ["ready\n", "inside\n"]
        time.sleep(1.5 * LEASE_S)
        assert not is_free(redis_client)
        holder.kill()
    assert wait_until(lambda: is_free(redis_client), 10) < LEASE_S + 0.2


def test_holder_keeps_the_key_beyond_its_lease(flights: RedisFlights, redis_client: Redis) -> None:
    with flights.hold(KEY):
        until_s = time.monotonic() + 2.5 * LEASE_S
        while time.monotonic() < until_s:
            assert not is_free(redis_client)
            time.sleep(0.05)
    assert is_free(redis_client)


def test_holder_takes_its_key_again_after_redis_was_flushed(flights: RedisFlights, redis_client: Redis) -> None:
    with flights.hold(KEY):
        redis_client.flushall()
        time.sleep(RENEWED_S)
        assert not is_free(redis_client)
    assert is_free(redis_client)


def test_who_was_faster_after_a_flush_is_neither_driven_out_nor_freed(
    flights: RedisFlights, redis_client: Redis
) -> None:
    name = redis_keys.flight(KEY)
    with flights.hold(KEY):
        redis_client.set(name, "another", px=60_000)
        time.sleep(RENEWED_S)
        assert redis_client.get(name) == b"another"
    assert redis_client.get(name) == b"another"


def test_holder_takes_its_key_again_when_who_was_faster_is_done(flights: RedisFlights, redis_client: Redis) -> None:
    with flights.hold(KEY):
        redis_client.set(redis_keys.flight(KEY), "another", px=60_000)
        time.sleep(RENEWED_S)
        redis_client.delete(redis_keys.flight(KEY))
        time.sleep(RENEWED_S)
        assert not is_free(redis_client)


def test_holder_keeps_the_key_over_a_restart_of_redis(own_client: Redis, start_redis: StartRedis) -> None:
    server = start_redis()
    with RedisFlights(own_client, lease_s=LEASE_S).hold(KEY):
        server.kill()
        server.wait(10)
        time.sleep(1.5 * LEASE_S)
        start_redis()
        time.sleep(RENEWED_S)
        assert not is_free(own_client)
    assert is_free(own_client)


def test_holder_keeps_the_key_over_a_redis_hung_for_longer_than_the_lease(
    own_client: Redis, start_redis: StartRedis
) -> None:
    server = start_redis()
    with RedisFlights(own_client, lease_s=LEASE_S).hold(KEY):
        server.send_signal(signal.SIGSTOP)
        time.sleep(2 * LEASE_S)
        server.send_signal(signal.SIGCONT)
        time.sleep(1.0 + RENEWED_S)
        assert not is_free(own_client)
    assert is_free(own_client)


def test_nobody_flies_while_redis_is_away(own_client: Redis) -> None:
    with pytest.raises(QueueUnavailable), RedisFlights(own_client, lease_s=LEASE_S).hold(KEY):
        pytest.fail("held without Redis")
    assert keepers() == []


def test_leaving_while_redis_is_away_neither_raises_nor_waits(own_client: Redis, start_redis: StartRedis) -> None:
    server = start_redis()
    with RedisFlights(own_client, lease_s=LEASE_S).hold(KEY):
        server.kill()
        server.wait(10)
        time.sleep(RENEWED_S)
        left_s = time.monotonic()
    assert time.monotonic() - left_s < 0.5
    assert keepers() == []


def test_leaving_while_redis_hangs_waits_a_moment_only(own_client: Redis, start_redis: StartRedis) -> None:
    server = start_redis()
    port = own_client.get_connection_kwargs()["port"]
    with Redis.from_url(f"redis://127.0.0.1:{port}", socket_timeout=30.0) as patient:
        with RedisFlights(patient, lease_s=LEASE_S).hold(KEY):
            server.send_signal(signal.SIGSTOP)
            time.sleep(RENEWED_S)  # a renewal is on its way and gets no answer
            left_s = time.monotonic()
        assert time.monotonic() - left_s < LEAVE_S + 0.5
        server.send_signal(signal.SIGCONT)
        wait_until(lambda: not keepers(), 5)
        assert not own_client.exists(redis_keys.flight(KEY))


def test_time_limit_that_strikes_while_taking_leaves_no_thread(own_client: Redis, start_redis: StartRedis) -> None:
    class TimeIsUp(Exception):
        pass

    def strike(_signal: int, _frame: FrameType | None) -> None:
        raise TimeIsUp

    server = start_redis()
    server.send_signal(signal.SIGSTOP)
    before = signal.signal(signal.SIGALRM, strike)
    try:
        signal.setitimer(signal.ITIMER_REAL, 0.2)
        with pytest.raises(TimeIsUp), RedisFlights(own_client, lease_s=LEASE_S).hold(KEY):
            pytest.fail("held without Redis")
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    assert keepers() == []
    server.send_signal(signal.SIGCONT)
    assert wait_until(lambda: is_free(own_client), 10) < LEASE_S + 0.5
