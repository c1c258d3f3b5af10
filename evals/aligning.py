"""Lays what was found beside what was expected, word by word. Compares text only."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import jiwer


@dataclass(frozen=True, slots=True)
class Block:
    """Neighbouring words with the same fate: indices of expected ones, and of those found in their place."""

    expected: range
    found: range
    is_equal: bool

    @property
    def pairs(self) -> tuple[tuple[int, int], ...]:
        """Empty where words are missing or added; else both sides have the same length, or jiwer is broken."""
        if not self.expected or not self.found:
            return ()
        return tuple(zip(self.expected, self.found, strict=True))


@dataclass(frozen=True, slots=True)
class Alignment:
    """The cheapest edit of the expected words into the found ones; ``blocks`` cover both, in order."""

    blocks: tuple[Block, ...]

    @property
    def matched(self) -> tuple[tuple[int, int], ...]:
        """Words found rightly, as indices (expected, found)."""
        return tuple(pair for block in self.blocks if block.is_equal for pair in block.pairs)

    @property
    def substituted(self) -> tuple[tuple[int, int], ...]:
        """Words found wrongly, as indices (expected, found)."""
        return tuple(pair for block in self.blocks if not block.is_equal for pair in block.pairs)

    @property
    def pairs(self) -> tuple[tuple[int, int], ...]:
        """Words for which some word was found, right or wrong, in order."""
        return tuple(pair for block in self.blocks for pair in block.pairs)

    @property
    def deleted(self) -> tuple[int, ...]:
        """Expected words that were not found."""
        return tuple(index for block in self.blocks if not block.found for index in block.expected)

    @property
    def inserted(self) -> tuple[int, ...]:
        """Found words that were not expected."""
        return tuple(index for block in self.blocks if not block.expected for index in block.found)


def align(expected: Sequence[str], found: Sequence[str]) -> Alignment:
    """Levenshtein alignment by jiwer, the field's usual counter of word errors. No word may hold a space."""
    chunks = jiwer.process_words(" ".join(expected), " ".join(found)).alignments[0]
    return Alignment(
        tuple(
            Block(
                range(chunk.ref_start_idx, chunk.ref_end_idx),
                range(chunk.hyp_start_idx, chunk.hyp_end_idx),
                is_equal=chunk.type == "equal",
            )
            for chunk in chunks
        )
    )
