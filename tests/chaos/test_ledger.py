"""Which second payments are excused, and which calls a fault hit."""

from __future__ import annotations

from dataclasses import replace

import pytest

from chaos.ledger import Call, Injection, Ledger, are_made_again, find_double_payments, find_hit, find_spoiled

FIRST = Call(0, "transcribe", "key", "digest", pid=7, begun_s=10.0, ended_s=11.0, outcome="paid")
SECOND = replace(FIRST, number=1, pid=8, begun_s=30.0, ended_s=31.0)


def excuse(*injections: Injection, first: Call = FIRST, shared: bool = False) -> str | None:
    digests = frozenset({"digest"}) if shared else frozenset()
    (payment,) = find_double_payments([first, SECOND], injections, digests)
    return payment.excuse


def kill(at_s: float, pid: int = 7) -> Injection:
    return Injection(0, "kill-child", at_s, at_s + 0.1, frozenset({pid}))


@pytest.mark.parametrize("at_s", [9.95, 10.0, 10.5, 11.0, 11.9])
def test_a_caller_killed_before_it_kept_the_answer_is_an_excuse(at_s: float) -> None:
    assert excuse(kill(at_s)) == "caller killed"


@pytest.mark.parametrize("injection", [kill(9.0), kill(12.5), kill(10.5, pid=8), kill(10.5, pid=9)])
def test_another_ones_death_or_another_moment_is_none(injection: Injection) -> None:
    assert excuse(injection) is None


def test_without_a_fault_there_is_no_excuse() -> None:
    assert excuse() is None
    assert excuse(shared=True) is None


def test_a_caller_that_was_gone_when_the_engine_looked_is_one_a_kill_near_it_killed() -> None:
    gone = replace(FIRST, pid=None)
    assert excuse(kill(9.8), first=gone) == "caller killed"
    assert excuse(kill(10.5, pid=9), first=gone) == "caller killed"
    assert excuse(kill(8.0), first=gone) is None
    assert excuse(kill(12.5), first=gone) is None
    assert excuse(Injection(0, "flushall", 10.5, 10.5), first=gone) is None


def test_a_full_disk_when_the_answer_came_is_an_excuse() -> None:
    assert excuse(Injection(0, "disk-full", 8.0, 13.0)) == "disk full"
    assert excuse(Injection(0, "disk-full", 3.0, 8.0)) is None
    assert excuse(Injection(0, "disk-full", 13.0, 18.0)) is None


def away(at_s: float, back_s: float) -> Injection:
    return Injection(0, "kill-redis", at_s, at_s + 0.1, redis_back_s=back_s)


@pytest.mark.parametrize(
    "injection",
    [
        Injection(0, "flushall", 10.5, 10.5),
        Injection(0, "flushall", 29.0, 29.0),
        away(11.5, 12.5),
        away(5.0, 10.5),
        away(28.0, 30.5),
    ],
)
def test_only_equal_jobs_may_pay_again_for_what_the_cache_lost(injection: Injection) -> None:
    assert excuse(injection, shared=True) == "cache lost"
    assert excuse(injection, shared=False) is None


@pytest.mark.parametrize(
    "injection",
    [Injection(0, "flushall", 31.0, 31.0), Injection(0, "flushall", 9.0, 9.0), away(5.0, 9.5), away(20.0, 21.0)],
)
def test_a_cache_that_had_the_answer_is_no_excuse(injection: Injection) -> None:
    assert excuse(injection, shared=True) is None


def test_only_payments_for_one_key_are_compared() -> None:
    others = [
        replace(FIRST, number=2, key="other"),
        replace(SECOND, number=3, outcome="cut"),
        replace(SECOND, number=4, outcome="open", ended_s=None),
    ]
    assert find_double_payments([FIRST, *others], [], frozenset()) == []


def test_three_payments_are_two_too_many() -> None:
    third = replace(SECOND, number=2, begun_s=50.0, ended_s=51.0)
    payments = find_double_payments([FIRST, SECOND, third], [], frozenset())
    assert [(payment.first.number, payment.second.number) for payment in payments] == [(0, 1), (1, 2)]


def test_a_kill_hits_the_calls_its_victims_had_under_way() -> None:
    injection = Injection(0, "kill-worker", 10.4, 10.5, frozenset({7}))
    under_way = replace(FIRST, outcome="open", ended_s=None)
    gone = replace(under_way, number=5, pid=None, begun_s=10.7)
    others = [replace(FIRST, ended_s=10.2), replace(FIRST, begun_s=10.6), replace(FIRST, pid=8)]
    assert find_hit([FIRST, under_way, gone, *others], injection) == [FIRST, under_way, gone]


def test_a_call_is_made_again_by_a_later_one_with_its_key() -> None:
    injection = kill(10.5)
    read_late = replace(FIRST, number=3, begun_s=10.7)
    again = replace(FIRST, number=4, begun_s=20.0)
    assert not are_made_again([read_late], [read_late], injection)
    assert not are_made_again([read_late, replace(again, key="other")], [read_late], injection)
    assert are_made_again([read_late, again], [read_late], injection)


def test_a_mood_spoils_what_began_in_it_and_got_no_good_answer() -> None:
    injection = Injection(0, "engine-500", 9.0, 13.0)
    refused = replace(FIRST, outcome="refused")
    assert find_spoiled([FIRST, refused, replace(refused, begun_s=14.0)], injection) == [refused]


def test_calls_are_numbered_as_they_begin_and_end_in_any_order() -> None:
    ledger = Ledger()
    one, two = (ledger.begin(replace(FIRST, number=0, outcome="open", ended_s=None)) for _ in range(2))
    ledger.end(two.number, "paid", 12.0)
    ledger.end(one.number, "cut", 13.0)
    assert [(call.number, call.outcome, call.ended_s) for call in ledger.calls()] == [
        (0, "cut", 13.0),
        (1, "paid", 12.0),
    ]
    assert [call.number for call in ledger.calls(since=1)] == [1]


def test_a_key_gets_so_many_bad_answers_and_no_more() -> None:
    ledger = Ledger()
    assert [ledger.may_misbehave("a", 2) for _ in range(3)] == [True, True, False]
    assert ledger.may_misbehave("b", 2)
