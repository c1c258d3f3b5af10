"""Which real speaker each found one stands for: a diarizer's labels are arbitrary. Knows words only as pairs."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

import numpy as np
from scipy.optimize import linear_sum_assignment


def name_speakers(pairs: Iterable[tuple[str | None, str | None]]) -> dict[str, str]:
    """Which expected speaker each found one stands for, when as many (expected, found) pairs as possible agree.

    One to one: of two found speakers who are the same expected one, only the more frequent gets the name.
    """
    agreement = Counter((one, other) for one, other in pairs if one is not None and other is not None)
    expected = sorted({one for one, _ in agreement})
    found = sorted({other for _, other in agreement})
    table = np.zeros((len(expected), len(found)), dtype=int)
    for (one, other), count in agreement.items():
        table[expected.index(one), found.index(other)] = count
    rows, columns = linear_sum_assignment(table, maximize=True)
    best = zip(rows, columns, strict=True)
    return {found[column]: expected[row] for row, column in best if table[row, column]}
