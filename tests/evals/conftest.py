"""Short ways to write down what was said."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from erni.model import Span
from evals.normalising import SpokenWord

Say = Callable[..., list[SpokenWord]]


@pytest.fixture
def say() -> Say:
    """Words of half a second each, one a second from ``at_s``; ``who`` has a speaker's letter for each, or one."""

    def spoken(text: str, who: str = "A", at_s: float = 0.0) -> list[SpokenWord]:
        words = text.split()
        speakers = who * len(words) if len(who) == 1 else who
        return [
            SpokenWord(word, Span(at_s + number, at_s + number + 0.5), speaker)
            for number, (word, speaker) in enumerate(zip(words, speakers, strict=True))
        ]

    return spoken
