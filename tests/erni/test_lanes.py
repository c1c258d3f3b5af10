"""How a job's chunks become lanes: every missing chunk is passed exactly once, by few lanes."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from erni.lanes import plan_fan_out, plan_lanes


def pass_along(first: int, stride: int, total: int) -> set[int]:
    return set(range(first, total, stride))


@given(st.sets(st.integers(0, 2000), max_size=200), st.integers(1, 64))
def test_every_missing_chunk_is_passed_by_one_lane(missing: set[int], window: int) -> None:
    firsts, stride = plan_lanes(sorted(missing), window)
    lanes = [pass_along(first, stride, 2001) for first in firsts]
    assert missing <= set().union(*lanes)
    assert sum(len(lane) for lane in lanes) == len(set().union(*lanes))
    assert len(firsts) <= window
    assert set(firsts) <= missing


def test_a_fresh_job_begins_with_its_first_chunks() -> None:
    assert plan_lanes(range(100), 4) == ((0, 1, 2, 3), 4)


def test_no_more_lanes_than_chunks() -> None:
    assert plan_lanes([0, 1], 16) == ((0, 1), 2)


@pytest.mark.parametrize("window", [1, 8])
def test_nothing_missing_needs_no_lane(window: int) -> None:
    assert plan_lanes([], window)[0] == ()


def test_long_work_and_diarization_are_passed_on() -> None:
    fan_out = plan_fan_out([7], window=3, diarize=True, is_long=True)
    assert (fan_out.first_chunks, fan_out.stride, fan_out.diarize, fan_out.is_long) == ((7,), 1, True, True)
