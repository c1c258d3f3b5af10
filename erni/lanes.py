"""How a job's chunks take turns with other jobs' in the queue. Pure.

A job is not sent as all its chunks at once, behind which every later job would wait, but as a few lanes. A lane is a
message for one chunk which, when that is over, goes to the end of the queue for the next one that waits: jobs are
served round robin, as in fair queueing (Nagle, RFC 970, 1985), with the chunk as the unit of service.

The longest chunk goes first: then the lanes end nearly together, and none stands idle while another has two long ones
before it (Graham, "Bounds on Multiprocessing Timing Anomalies", 1969).
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from erni.model import Chunk

DEFAULT_WINDOW = 4
"""Lanes while no worker has reported yet."""


@dataclass(frozen=True, slots=True)
class Order:
    """Chunks by index: ``first`` are those the lanes begin with, one each; the others wait for a lane to be free."""

    first: tuple[int, ...]
    waiting: tuple[int, ...] = ()


def order_chunks(chunks: Sequence[Chunk], missing: Collection[int], window: int) -> Order:
    """The missing chunks, longest audio first, for at most ``window`` lanes."""
    wanted = [chunk for chunk in chunks if chunk.index in missing]
    ordered = tuple(chunk.index for chunk in sorted(wanted, key=lambda chunk: -chunk.audio.duration_s))
    return Order(ordered[:window], ordered[window:])
