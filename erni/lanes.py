"""How a job's chunks take turns with other jobs' in the queue. Pure.

A job is not sent as all its chunks at once, behind which every later job would wait, but as a few lanes. A lane is a
message for one chunk which, when that is over, goes to the end of the queue for the next of its chunks: jobs are
served round robin, as in fair queueing (Nagle, RFC 970, 1985), with the chunk as the unit of service.
"""

from __future__ import annotations

from collections.abc import Sequence

from erni.ports import FanOut

DEFAULT_WINDOW = 4
"""Lanes while no worker has reported yet."""


def plan_lanes(missing: Sequence[int], window: int) -> tuple[tuple[int, ...], int]:
    """First chunk of each lane and the stride by which it goes on, so that every chunk in ``missing`` is passed.

    There are at most ``window`` lanes; chunks between that are done already are passed over by the lane.
    """
    stride = max(1, min(window, len(missing)))
    firsts: dict[int, int] = {}
    for index in sorted(missing):
        firsts.setdefault(index % stride, index)
    return tuple(sorted(firsts.values())), stride


def plan_fan_out(missing: Sequence[int], *, window: int, diarize: bool, is_long: bool) -> FanOut:
    """What to send for a job whose chunks in ``missing`` have no result yet."""
    first_chunks, stride = plan_lanes(missing, window)
    return FanOut(first_chunks, stride, diarize=diarize, is_long=is_long)
