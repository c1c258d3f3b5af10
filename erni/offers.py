"""What an installation offers its callers, and what of it is left on a given day. Pure; knows engines only by what they
declare.
"""

from __future__ import annotations

from collections.abc import Container, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date
from typing import TypeVar

from erni.capabilities import DiarizerCapabilities, TranscriberCapabilities


@dataclass(frozen=True, slots=True)
class Offers:
    """What this installation can do: its engines' capabilities by name, and which are used by default.

    No job may take longer than ``max_deadline_s``. ``default_fallback`` are engines in the order of their use, and so
    are the diarizers'. ``one_shots`` find words and speakers in one go; ``ended_one_shots`` did, until that day.
    ``callers`` are the vendors that can call this installation.
    """

    transcribers: Mapping[str, TranscriberCapabilities]
    diarizers: Mapping[str, DiarizerCapabilities]
    default_engine: str
    default_diarizer: str | None
    max_deadline_s: float
    default_fallback: tuple[str, ...] = ()
    default_diarizer_fallback: tuple[str, ...] = ()
    one_shots: Mapping[str, TranscriberCapabilities] = field(default_factory=dict)
    ended_one_shots: Mapping[str, date] = field(default_factory=dict)
    callers: frozenset[str] = frozenset()

    def on(self, today: date) -> Offers:
        """Without what its vendor has shut down by then; a default that is gone gives way to its fallback."""
        transcribers, diarizers = _alive(self.transcribers, today), _alive(self.diarizers, today)
        one_shots = _alive(self.one_shots, today)
        fallback = tuple(name for name in self.default_fallback if name in transcribers)
        diarizer_fallback = tuple(name for name in self.default_diarizer_fallback if name in diarizers)
        diarizer = self.default_diarizer
        return replace(
            self,
            transcribers=transcribers,
            diarizers=diarizers,
            one_shots=one_shots,
            ended_one_shots=_ends(self.one_shots, one_shots),
            default_engine=_first_alive(self.default_engine, fallback, transcribers),
            default_diarizer=diarizer and _first_alive(diarizer, diarizer_fallback, diarizers),
            default_fallback=fallback,
            default_diarizer_fallback=diarizer_fallback,
        )


_Offer = TypeVar("_Offer", TranscriberCapabilities, DiarizerCapabilities)


def _alive(engines: Mapping[str, _Offer], today: date) -> dict[str, _Offer]:
    return {name: it for name, it in engines.items() if it.terms is None or not it.terms.is_retired(today)}


def _first_alive(default: str, fallback: Sequence[str], alive: Container[str]) -> str:
    """The default where nothing is left that could take its place: the check of the options then says so."""
    return next((name for name in (default, *fallback) if name in alive), default)


def _ends(engines: Mapping[str, TranscriberCapabilities], alive: Container[str]) -> dict[str, date]:
    """The last days of those that are not alive."""
    terms = {name: it.terms for name, it in engines.items() if name not in alive}
    return {name: it.retires_on for name, it in terms.items() if it is not None and it.retires_on is not None}
