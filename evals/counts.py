"""Sums: every metric keeps counts, so that recordings are pooled by adding and weigh by what they hold."""

from __future__ import annotations

import functools
import operator
from collections.abc import Iterable
from dataclasses import dataclass, fields
from typing import Self, TypeVar

C = TypeVar("C", bound="Counts")


@dataclass(frozen=True, slots=True)
class Counts:
    """A value whose fields add up, each on its own; tuples are joined."""

    def __add__(self, other: Self) -> Self:
        return type(self)(*(getattr(self, field.name) + getattr(other, field.name) for field in fields(self)))


def pool(parts: Iterable[C | None]) -> C | None:
    """The sum of what was measured, ``None`` where nothing was."""
    measured = [part for part in parts if part is not None]
    return functools.reduce(operator.add, measured) if measured else None


def share(part: float, whole: float) -> float | None:
    """A rate, ``None`` where there is nothing to relate to."""
    return part / whole if whole else None
