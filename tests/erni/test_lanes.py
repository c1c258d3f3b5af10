"""In which order a job's chunks are worked on, and by how many lanes."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from erni.lanes import Order, order_chunks
from erni.model import Chunk, Span


def chunks(*lengths_s: float) -> list[Chunk]:
    return [Chunk(index, span, span) for index, span in enumerate(Span(0.0, length_s) for length_s in lengths_s)]


@given(st.lists(st.floats(0.1, 90.0), max_size=60), st.data(), st.integers(1, 64))
def test_every_missing_chunk_is_begun_or_waits_once(lengths_s: list[float], data: st.DataObject, window: int) -> None:
    missing = data.draw(st.sets(st.sampled_from(range(len(lengths_s))))) if lengths_s else set()
    order = order_chunks(chunks(*lengths_s), missing, window)
    ordered = [*order.first, *order.waiting]
    assert sorted(ordered) == sorted(missing)
    assert len(order.first) == min(window, len(missing))
    assert [lengths_s[index] for index in ordered] == sorted((lengths_s[index] for index in ordered), reverse=True)


def test_the_longest_chunk_goes_first_and_equals_keep_their_order() -> None:
    assert order_chunks(chunks(20, 30, 10, 30), range(4), 2) == Order((1, 3), (0, 2))


def test_nothing_missing_needs_no_lane() -> None:
    assert order_chunks(chunks(20, 30), (), 4) == Order(())
