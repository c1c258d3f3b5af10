"""Word errors: which words are wrong, whoever said them. Knows neither times nor files."""

from __future__ import annotations

from dataclasses import dataclass

from evals.aligning import Alignment
from evals.counts import Counts, share


@dataclass(frozen=True, slots=True)
class WordErrors(Counts):
    """Errors by kind among ``expected`` words. Insertions count, so the rate may pass 1."""

    expected: int
    substituted: int
    deleted: int
    inserted: int

    @property
    def errors(self) -> int:
        return self.substituted + self.deleted + self.inserted

    @property
    def rate(self) -> float | None:
        return share(self.errors, self.expected)


def count_word_errors(alignment: Alignment) -> WordErrors:
    wrong, missing = len(alignment.substituted), len(alignment.deleted)
    return WordErrors(len(alignment.matched) + wrong + missing, wrong, missing, len(alignment.inserted))
