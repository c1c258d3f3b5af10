"""The faults: each is done to running processes, tells when it was over, and how to see that work goes on.

Recovery is counted from the moment a fault is over (a killed process is gone, Redis runs again, the stack was
started again, the engine answers well) until the work it hit goes on:

- workers killed: each call they had under way has been made again; without one, the next call of anybody. Of a
  main process besides: it is back, and the jobs that were being prepared or joined have moved;
- engine misbehaving: each key that got a bad answer has been paid;
- API killed: ``/readyz`` says ready, and the engine gets its next call; beat killed: it is back, and the same;
- Redis killed, stopped or flushed, everything restarted, disk full: ``/readyz`` says ready, and every job that was
  being worked on has moved by new work: what moves in the first 2 s may be work that was under way.
"""

from __future__ import annotations

import itertools
import random
import resource
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial
from typing import Final

import psutil
import redis

from chaos.engine_server import EngineState, Mood
from chaos.hosts import Hosts, kill_processes, wait_until_gone
from chaos.ledger import Call, Injection, Ledger, are_made_again, find_hit, find_spoiled
from chaos.load import Load
from erni.jobs import JobStatus

STOPPED_S: Final = 20.0
DISK_FULL_S: Final = 5.0
FULL_AT_BYTES: Final = 16
MOOD_S: Final = 4.0
SETTLED_S: Final = 2.0
"""Longer than a call: work that was under way when a fault struck is over by then."""

GONE_LIMIT_S: Final = 10.0
BUSY_SHARE: Final = 0.7
RESTART_LIMIT_S: Final = 60.0
RECOVERY_LIMIT_S: Final = 120.0
LOOK_EVERY_S: Final = 0.1


@dataclass(frozen=True, slots=True)
class Field:
    """Everything a fault may be done to, and the draw that makes a run repeatable."""

    hosts: Hosts
    engine: EngineState
    ledger: Ledger
    load: Load
    draw: random.Random


@dataclass(frozen=True, slots=True)
class Struck:
    """What a fault did; times as of ``time.monotonic()``. ``has_recovered`` is asked once it is over."""

    over_s: float
    killed: frozenset[int]
    has_recovered: Callable[[Injection], bool]
    redis_back_s: float | None = None


def draw_kinds(draw: random.Random, kinds: Sequence[str]) -> Iterator[str]:
    """Endless: every cycle holds all of ``kinds``, in an order of its own."""
    cycle = list(kinds)
    while True:
        draw.shuffle(cycle)
        yield from cycle


def inject(field: Field, kind: str, number: int) -> tuple[Injection, float | None]:
    """Do it, and wait until the work goes on; returns the seconds that took, ``None`` when it took too long."""
    field.load.poll()
    at_s = time.monotonic()
    struck = FAULTS[kind](field)
    injection = Injection(number, kind, at_s, struck.over_s, struck.killed, struck.redis_back_s)
    while not struck.has_recovered(injection):
        if time.monotonic() > struck.over_s + RECOVERY_LIMIT_S:
            return injection, None
        time.sleep(LOOK_EVERY_S)
    return injection, time.monotonic() - struck.over_s


def _kill(field: Field, victims: Sequence[psutil.Process], *also: Callable[[], bool]) -> Struck:
    """Kill one of these and see it gone, with the pool it leaves behind."""
    if not victims:
        return Struck(time.monotonic(), frozenset(), lambda _: True)
    victim = field.draw.choice(sorted(victims, key=lambda process: process.pid))
    family = [victim, *_children(victim)]
    kill_processes([victim])
    wait_until_gone(family, GONE_LIMIT_S)
    return _killed(field, frozenset(process.pid for process in family), *also)


def _prefer_busy(field: Field, candidates: Sequence[psutil.Process]) -> Sequence[psutil.Process]:
    """Mostly those with a call under way, whose death costs most."""
    callers = {call.pid for call in field.ledger.calls() if call.outcome == "open"}
    busy = [
        candidate
        for candidate in candidates
        if callers & {process.pid for process in (candidate, *_children(candidate))}
    ]
    return busy if busy and field.draw.random() < BUSY_SHARE else candidates


def _killed(field: Field, pids: frozenset[int], *also: Callable[[], bool]) -> Struck:
    def has_recovered(injection: Injection) -> bool:
        calls = field.ledger.calls()
        hit = find_hit(calls, injection)
        is_called_again = are_made_again(calls, hit, injection) if hit else _is_called(calls, injection)
        return is_called_again and all(sign() for sign in also)

    return Struck(time.monotonic(), pids, has_recovered)


def _is_called(calls: Sequence[Call], injection: Injection) -> bool:
    return any(call.begun_s > injection.over_s for call in reversed(calls))


def kill_worker(field: Field) -> Struck:
    """A worker's main process, and with it its pool: whatever it was at must go on, and it must be back."""
    workers = field.hosts.workers()
    before = field.load.states()
    struck = _kill(field, _prefer_busy(field, workers))
    at_work = {
        job_id: state for job_id, state in before.items() if state[0] in {JobStatus.PREPARING, JobStatus.JOINING}
    }

    def has_recovered(injection: Injection) -> bool:
        is_back = len(field.hosts.workers()) >= len(workers)
        return is_back and struck.has_recovered(injection) and _have_moved(field, at_work)

    return replace(struck, has_recovered=has_recovered)


def kill_child(field: Field) -> Struck:
    """One process of a transcribe or diarize pool."""
    mains = [*field.hosts.workers("transcribe"), *field.hosts.workers("diarize")]
    return _kill(field, _prefer_busy(field, [child for main in mains for child in _children(main)]))


def kill_beat(field: Field) -> Struck:
    return _kill(field, field.hosts.main_of("beat"), lambda: bool(field.hosts.main_of("beat")))


def kill_api(field: Field) -> Struck:
    return _kill(field, field.hosts.main_of("gunicorn"), field.hosts.is_ready)


def kill_api_child(field: Field) -> Struck:
    mains = field.hosts.main_of("gunicorn")
    return _kill(field, [child for main in mains for child in _children(main)], field.hosts.is_ready)


def kill_second_host(field: Field) -> Struck:
    killed = field.hosts.second.kill()
    struck = _killed(field, killed)
    field.hosts.second.start()
    return struck


def kill_redis(field: Field) -> Struck:
    before = field.load.states()
    victims = field.hosts.main_of("redis-server")
    kill_processes(victims)
    wait_until_gone(victims, GONE_LIMIT_S)
    return _disturbed_without_redis(field, before)


def stop_redis(field: Field) -> Struck:
    """It keeps its connections but answers nothing for 20 s."""
    before = field.load.states()
    victims = field.hosts.main_of("redis-server")
    for victim in victims:
        victim.suspend()
    try:
        time.sleep(STOPPED_S)
    finally:
        for victim in victims:
            victim.resume()
    return _disturbed_without_redis(field, before)


def flush_redis(field: Field) -> Struck:
    before = field.load.states()
    with redis.Redis.from_url(field.hosts.redis_url) as client:
        client.flushall()
    return _disturbed(field, before)


def restart_all(field: Field) -> Struck:
    """Both hosts stopped as an operator would, and started again on the same data."""
    before = field.load.states()
    for host in (field.hosts.second, field.hosts.first):
        host.stop()
    for host in (field.hosts.first, field.hosts.second):
        host.start()
    return _disturbed(field, before)


def restart_workers(field: Field) -> Struck:
    """A rolling restart: SIGTERM to one worker after the other, each awaited."""
    before = field.load.states()
    for worker in field.hosts.workers():
        count = len(field.hosts.workers())
        with suppress(psutil.NoSuchProcess):
            worker.terminate()
            worker.wait(RESTART_LIMIT_S)
        until_s = time.monotonic() + RESTART_LIMIT_S
        while len(field.hosts.workers()) < count and time.monotonic() < until_s:
            time.sleep(LOOK_EVERY_S)
    return _disturbed(field, before)


def fill_disk(field: Field) -> Struck:
    """No worker can make a file longer than some bytes for 5 s (RLIMIT_FSIZE, which Python meets as EFBIG)."""
    before = field.load.states()
    _limit_files(field, FULL_AT_BYTES)
    try:
        time.sleep(DISK_FULL_S)
    finally:
        _limit_files(field, resource.RLIM_INFINITY)
    return _disturbed(field, before)


def _limit_files(field: Field, limit_bytes: int) -> None:
    mains = field.hosts.workers()
    for process in itertools.chain(mains, *(_children(main) for main in mains)):
        with suppress(psutil.NoSuchProcess):
            process.rlimit(psutil.RLIMIT_FSIZE, (limit_bytes, resource.RLIM_INFINITY))


def _disturbed_without_redis(field: Field, before: Mapping[str, tuple[str, float]]) -> Struck:
    """As any disturbance, with the moment from which Redis answered again."""
    over_s = time.monotonic()
    with redis.Redis.from_url(field.hosts.redis_url, socket_timeout=1.0, retry=None) as client:
        while time.monotonic() < over_s + RECOVERY_LIMIT_S:
            with suppress(redis.RedisError):
                client.ping()
                break
            time.sleep(LOOK_EVERY_S)
    redis_back_s = time.monotonic()
    return replace(_disturbed(field, before), over_s=over_s, redis_back_s=redis_back_s)


def _disturbed(field: Field, before: Mapping[str, tuple[str, float]]) -> Struck:
    over_s = time.monotonic()
    time.sleep(SETTLED_S)
    while not field.load.poll() and time.monotonic() < over_s + RECOVERY_LIMIT_S:
        time.sleep(LOOK_EVERY_S)
    settled = {job_id: state for job_id, state in field.load.states().items() if job_id in before}

    def has_recovered(_: Injection) -> bool:
        return _have_moved(field, settled) and field.hosts.is_ready()

    return Struck(over_s, frozenset(), has_recovered)


def _have_moved(field: Field, before: Mapping[str, tuple[str, float]]) -> bool:
    """Whether each of these jobs is over, or shows another state or more progress."""
    now = field.load.states()
    return all(now.get(job_id) != state for job_id, state in before.items())


def spoil_engine(mood: Mood, field: Field) -> Struck:
    field.engine.mood = mood
    time.sleep(MOOD_S)
    field.engine.mood = "good"

    def has_recovered(injection: Injection) -> bool:
        calls = field.ledger.calls()
        spoiled = find_spoiled(calls, injection)
        paid = {call.key for call in calls if call.outcome == "paid" and call.begun_s > injection.at_s}
        return all(call.key in paid for call in spoiled) and _is_called(calls, injection)

    return Struck(time.monotonic(), frozenset(), has_recovered)


def _children(process: psutil.Process) -> list[psutil.Process]:
    with suppress(psutil.NoSuchProcess):
        return process.children(recursive=True)
    return []


FAULTS: Final[dict[str, Callable[[Field], Struck]]] = {
    "kill-child": kill_child,
    "kill-worker": kill_worker,
    "kill-beat": kill_beat,
    "kill-api": kill_api,
    "kill-api-child": kill_api_child,
    "kill-redis": kill_redis,
    "kill-second-host": kill_second_host,
    "stop-redis": stop_redis,
    "flushall": flush_redis,
    "restart-all": restart_all,
    "rolling-restart": restart_workers,
    "disk-full": fill_disk,
    "engine-429": partial(spoil_engine, "429"),
    "engine-500": partial(spoil_engine, "500"),
    "engine-time-out": partial(spoil_engine, "time-out"),
    "engine-cut": partial(spoil_engine, "cut"),
    "engine-garbage": partial(spoil_engine, "garbage"),
}
OFTEN: Final = ("kill-child", "kill-worker", "kill-redis", "kill-second-host", "flushall")
CYCLE: Final = (*FAULTS, *OFTEN, "kill-child", "kill-worker", "kill-child", "kill-worker")
"""What a full run draws from: every kind, and the likeliest of real life several times."""

SHORT: Final = ("kill-child", "kill-worker", "flushall", "engine-500", "rolling-restart")
