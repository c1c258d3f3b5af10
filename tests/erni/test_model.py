"""The arithmetic of the values of speech."""

from __future__ import annotations

import pytest

from erni.model import Chunk, Plan, Span

SPEECH = (Span(1.0, 4.0), Span(5.0, 9.0), Span(12.0, 20.0))


@pytest.mark.parametrize(
    ("own", "expected"),
    [
        (Span(0.0, 4.5), (Span(1.0, 4.0),)),
        (Span(4.5, 10.0), (Span(5.0, 9.0),)),
        (Span(2.0, 15.0), (Span(2.0, 4.0), Span(5.0, 9.0), Span(12.0, 15.0))),
        (Span(15.0, 16.0), (Span(15.0, 16.0),)),
        (Span(9.0, 12.0), ()),
        (Span(20.0, 30.0), ()),
    ],
)
def test_a_chunks_own_speech_is_cut_at_its_borders(own: Span, expected: tuple[Span, ...]) -> None:
    plan = Plan(30.0, SPEECH, ())
    assert plan.speech_in(Chunk(0, own, own)) == expected


def test_chunks_share_all_speech_out_between_them() -> None:
    owns = [Span(0.0, 3.0), Span(3.0, 8.0), Span(8.0, 30.0)]
    plan = Plan(30.0, SPEECH, tuple(Chunk(index, own, own) for index, own in enumerate(owns)))
    assert sum(span.duration_s for chunk in plan.chunks for span in plan.speech_in(chunk)) == plan.speech_s
