"""How many speakers a caller says there are, checked against who is to tell them apart. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

from erni.capabilities import DiarizerCapabilities, TranscriberCapabilities
from erni.errors import InvalidOption

EXACT: Final = "num_speakers"
LEAST: Final = "min_speakers"
MOST: Final = "max_speakers"

_COUNT: Final = re.compile(r"[1-9][0-9]{0,3}")


def parse_speaker_counts(values: Mapping[str, str]) -> dict[str, int]:
    """The counts that were given, by option. Raises InvalidOption: one is none, or they contradict each other."""
    counts = {name: _parse_count(name, values[name]) for name in (EXACT, LEAST, MOST) if name in values}
    least, most, exact = counts.get(LEAST, 1), counts.get(MOST), counts.get(EXACT)
    if most is not None and least > most:
        raise InvalidOption("min_speakers is above max_speakers.", field=LEAST)
    if exact is not None and (exact < least or (most is not None and exact > most)):
        raise InvalidOption("num_speakers lies outside min_speakers and max_speakers.", field=EXACT)
    return counts


def check_diarizer(counts: Mapping[str, int], diarizer: DiarizerCapabilities | None) -> None:
    """Raises InvalidOption: there is none, or it cannot be told."""
    for name, count in counts.items():
        if diarizer is None:
            raise InvalidOption(f"{name} needs a diarizer, but none is chosen; leave one of them out.", field=name)
        if not diarizer.has_speaker_count:
            raise InvalidOption(
                f"Diarizer {diarizer.engine} finds the number of speakers by itself and cannot be told; leave {name}"
                " out.",
                field=name,
            )
        _check_most(name, count, f"Diarizer {diarizer.engine}", diarizer.max_speakers)


def check_one_shot(
    counts: Mapping[str, int], engine: TranscriberCapabilities, takes_over: DiarizerCapabilities | None
) -> None:
    """An engine for the whole can be told an exact number (``OneShotRequest``); bounds are for the diarizer that takes
    over with the fallback, where there is one.

    Raises InvalidOption.
    """
    if EXACT in counts:
        _check_most(EXACT, counts[EXACT], f"Engine {engine.engine}", engine.max_speakers)
    if takes_over is not None:
        check_diarizer(counts, takes_over)
        return
    bound = next((name for name in (LEAST, MOST) if name in counts), None)
    if bound is not None:
        raise InvalidOption(
            f"Engine {engine.engine} can be told an exact number only; give num_speakers instead of {bound}, or a"
            " fallback and a diarizer.",
            field=bound,
        )


def _parse_count(name: str, text: str) -> int:
    if not _COUNT.fullmatch(text):
        raise InvalidOption(f"{name} must be a whole number from 1.", field=name)
    return int(text)


def _check_most(name: str, count: int, engine: str, most: int | None) -> None:
    if most is not None and count > most:
        raise InvalidOption(f"{engine} tells at most {most} speakers apart; lower {name}.", field=name)
