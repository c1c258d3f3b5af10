"""What Erni made of a recording, as the metrics see it. Reads the transcript's JSON; knows neither HTTP nor files."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from erni.model import Span, Turn, Word
from erni.speakers import assign_speakers
from evals.normalising import SpokenWord


@dataclass(frozen=True, slots=True)
class Hearing:
    """A finished job. ``turns`` are the diarizer's, ``None`` where there was none; ``gaps`` were not transcribed.

    ``plain_turns`` are those without a closer look where the speaker changes, if the diarizer took one.
    """

    status: str
    language: str | None
    duration_s: float
    elapsed_s: float
    words: tuple[SpokenWord, ...]
    turns: tuple[Turn, ...] | None
    seams_s: tuple[float, ...]
    gaps: tuple[Span, ...]
    plain_turns: tuple[Turn, ...] | None = None


def parse_hearing(job: dict[str, Any], transcript: dict[str, Any], turns: tuple[Turn, ...] | None) -> Hearing:
    """From the API's job and the transcript in its JSON form."""
    coverage = transcript["coverage"]
    return Hearing(
        status=job["status"],
        language=transcript["language"],
        duration_s=transcript["duration_s"],
        elapsed_s=job["timings"]["total_s"],
        words=tuple(
            SpokenWord(word["text"], Span(word["start_s"], word["end_s"]), word["speaker"])
            for segment in transcript["segments"]
            for word in segment["words"]
        ),
        turns=turns,
        seams_s=tuple(seam["at_s"] for seam in coverage["seams"]),
        gaps=tuple(Span(gap["start_s"], gap["end_s"]) for gap in coverage["gaps"]),
    )


def join_plainly(hearing: Hearing) -> Hearing | None:
    """The same words, each with the speaker whose plain turns share most time with it; ``None`` without such turns."""
    if hearing.plain_turns is None:
        return None
    timed = [(word, word.span) for word in hearing.words if word.span is not None]
    words = [Word(word.text, span.start_s, span.end_s, None) for word, span in timed]
    joined = assign_speakers(words, hearing.plain_turns, "overlap")
    spoken = (replace(word, speaker=given.speaker) for (word, _), given in zip(timed, joined, strict=True))
    return replace(hearing, words=tuple(spoken))
