"""What was measured of a recording in all its hearings, and the sums over folders and over everything."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from evals.borders import BorderErrors, BorderJoin
from evals.counts import pool
from evals.measuring import Measurement, pool_measurements
from evals.speaker_metrics import DiarizationErrors


@dataclass(frozen=True, slots=True)
class Evaluation:
    """One row: a recording, a folder or everything.

    ``status`` is the job's, empty for a sum; ``failure`` says why there is nothing to measure. ``in_chunks`` and
    ``whole`` hold the same recordings, cut as usual and in one piece; both are ``None`` when that pass was left out.
    """

    name: str
    folder: str = ""
    status: str = ""
    failure: str | None = None
    measured: Measurement = field(default_factory=Measurement)
    joins: Mapping[BorderJoin, BorderErrors] = field(default_factory=dict)
    in_chunks: Measurement | None = None
    whole: Measurement | None = None

    @property
    def word_penalty(self) -> float | None:
        """Word error rate that chunking adds."""
        if self.in_chunks is None or self.whole is None:
            return None
        chunked, whole = self.in_chunks.words, self.whole.words
        return _difference(chunked.rate if chunked else None, whole.rate if whole else None)

    @property
    def confusion_penalty(self) -> float | None:
        """Share of speech given to a wrong speaker that diarizing in pieces adds."""
        if self.in_chunks is None or self.whole is None:
            return None
        return _difference(_confusion(self.in_chunks.turns), _confusion(self.whole.turns))


def pool_evaluations(name: str, evaluations: Sequence[Evaluation]) -> Evaluation:
    """Sums weigh recordings by their words and seconds; a recording that failed is not in them."""
    measured = [one for one in evaluations if one.failure is None]
    paired = [(one.in_chunks, one.whole) for one in measured if one.in_chunks is not None and one.whole is not None]
    joins = dict.fromkeys(join for one in measured for join in one.joins)
    pooled = {join: pool(one.joins.get(join) for one in measured) for join in joins}
    return Evaluation(
        name=name,
        measured=pool_measurements(one.measured for one in measured),
        joins={join: errors for join, errors in pooled.items() if errors is not None},
        in_chunks=pool_measurements(chunked for chunked, _ in paired) if paired else None,
        whole=pool_measurements(whole for _, whole in paired) if paired else None,
    )


def pool_folders(evaluations: Sequence[Evaluation]) -> list[Evaluation]:
    """A sum for each folder, where there are several."""
    folders = dict.fromkeys(one.folder for one in evaluations)
    if len(folders) < 2:  # noqa: PLR2004  # one folder's sum would repeat the sum of all
        return []
    return [pool_evaluations(f"{name or '.'}/", [one for one in evaluations if one.folder == name]) for name in folders]


def _difference(one: float | None, other: float | None) -> float | None:
    return None if one is None or other is None else one - other


def _confusion(turns: DiarizationErrors | None) -> float | None:
    return turns.confusion_rate if turns else None
