"""Who spoke when: errors of turns, by time, and of the number of speakers. Knows no words.

Rates are those of pyannote.metrics (Bredin 2017) under the best one-to-one naming of speakers.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from pyannote.core import Annotation, Segment, Timeline
from pyannote.metrics.diarization import DiarizationErrorRate

from erni.model import Turn
from evals.counts import Counts, share


@dataclass(frozen=True, slots=True)
class DiarizationErrors(Counts):
    """Seconds, each counted once per speaker: of speech, not noticed, where nobody spoke, and given to another."""

    speech_s: float
    missed_s: float
    false_alarm_s: float
    confusion_s: float

    @property
    def rate(self) -> float | None:
        """Diarization error rate; may pass 1."""
        return share(self.missed_s + self.false_alarm_s + self.confusion_s, self.speech_s)

    @property
    def confusion_rate(self) -> float | None:
        """The part of it that is wrong speakers."""
        return share(self.confusion_s, self.speech_s)


@dataclass(frozen=True, slots=True)
class SpeakerCount(Counts):
    """``wrong_by`` is the distance between the two, without sign, so that pooling hides nothing."""

    expected: int
    found: int
    wrong_by: int


def count_speakers(expected: Sequence[Turn], found: Sequence[Turn]) -> SpeakerCount:
    expects, finds = len({turn.speaker for turn in expected}), len({turn.speaker for turn in found})
    return SpeakerCount(expects, finds, abs(expects - finds))


def compare_turns(
    expected: Sequence[Turn], found: Sequence[Turn], *, duration_s: float, collar_s: float
) -> DiarizationErrors:
    """Over the whole recording, without the time within ``collar_s`` on either side of an expected border."""
    # pyannote.metrics takes the collar's whole width, half of it on each side.
    metric = DiarizationErrorRate(collar=2 * collar_s, skip_overlap=False)
    parts = metric.compute_components(_annotation(expected), _annotation(found), uem=_whole(duration_s))
    return DiarizationErrors(
        speech_s=parts["total"],
        missed_s=parts["missed detection"],
        false_alarm_s=parts["false alarm"],
        confusion_s=parts["confusion"],
    )


def name_turns(expected: Sequence[Turn], found: Sequence[Turn]) -> dict[str, str]:
    """Which expected speaker each found one stands for, by the time they share; strangers are left out."""
    names: dict[str, str] = DiarizationErrorRate().optimal_mapping(_annotation(expected), _annotation(found))
    return names


def _annotation(turns: Sequence[Turn]) -> Annotation:
    annotation = Annotation()
    for number, turn in enumerate(turns):
        annotation[Segment(turn.start_s, turn.end_s), number] = turn.speaker
    return annotation


def _whole(duration_s: float) -> Timeline:
    return Timeline([Segment(0.0, duration_s)])
