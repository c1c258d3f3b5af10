"""Ctrl-C and SIGTERM as a question that can be asked, so that a stack is stopped in order."""

from __future__ import annotations

import signal
from types import FrameType, TracebackType
from typing import Final, Self

import click

_SIGNALS: Final = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Interrupts:
    """Counts requests to stop while it is open. The first means: in order; the second: at once."""

    def __init__(self) -> None:
        self._count = 0
        self._earlier: dict[signal.Signals, signal.Handlers] = {}

    @property
    def is_stop_wanted(self) -> bool:
        return self._count > 0

    @property
    def is_hurry_wanted(self) -> bool:
        return self._count > 1

    def check(self) -> None:
        """Raises click.Abort once a stop is wanted."""
        if self.is_stop_wanted:
            raise click.Abort

    def __enter__(self) -> Self:
        for number in _SIGNALS:
            self._earlier[number] = signal.signal(number, self._count_one)  # type: ignore[assignment]  # typeshed: int
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        for number, handler in self._earlier.items():
            signal.signal(number, handler)

    def _count_one(self, _number: int, _frame: FrameType | None) -> None:
        self._count += 1
