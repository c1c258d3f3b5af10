"""The order of the faults."""

from __future__ import annotations

import random
from collections import Counter
from itertools import islice

from chaos.faults import CYCLE, FAULTS, SHORT, draw_kinds


def drawn(seed: int, count: int) -> list[str]:
    draw = random.Random(seed)  # noqa: S311  # the same draw again and again is what is tested
    return list(islice(draw_kinds(draw, CYCLE), count))


def test_a_seed_repeats_the_order() -> None:
    assert drawn(5, 100) == drawn(5, 100)
    assert drawn(5, 100) != drawn(6, 100)


def test_every_cycle_holds_every_kind() -> None:
    kinds = drawn(5, 2 * len(CYCLE))
    assert Counter(kinds[: len(CYCLE)]) == Counter(kinds[len(CYCLE) :]) == Counter(CYCLE)
    assert set(CYCLE) == set(FAULTS)


def test_the_short_run_knows_its_faults() -> None:
    assert set(SHORT) <= set(FAULTS)
