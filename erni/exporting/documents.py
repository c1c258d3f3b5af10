"""The transcript to compute with (JSON) and to read (plain text).

The JSON's fields are documented in ``docs/transcript.md`` and fixed by ``docs/transcript.schema.json``.
"""

from __future__ import annotations

import json
from collections import Counter, defaultdict, deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Final

from erni.exporting.labels import (
    NO_SPEECH,
    clock,
    clock_span,
    find_name,
    gap_reason,
    number_label,
    one_line,
    speaker_label,
)
from erni.model import Coverage, Gap, Notice, PieceUse, Segment, SpeakerName, Transcript, Word

SCHEMA: Final = "erni.transcript/1"
PARAGRAPH_PAUSE_S: Final = 2.0
"""A speaker silent for this long begins a new paragraph."""


def render_json(transcript: Transcript) -> Iterator[str]:
    """One line of JSON, segment by segment; times in seconds to the millisecond."""
    head = {
        "schema": SCHEMA,
        "language": transcript.language,
        "duration_s": round(transcript.coverage.duration_s, 3),
    }
    tail = {
        "coverage": _coverage_object(transcript.coverage),
        "engines": [
            {"role": use.role, "engine": use.engine, "model": use.model, "grade": use.grade}
            for use in transcript.engines
        ],
        "pieces": [_piece_object(use) for use in transcript.pieces],
        "warnings": [_warning_object(notice) for notice in transcript.warnings],
    }
    shares = _SpeakerShares()
    yield _to_json(head).removesuffix("}") + ',"text":"'
    separator = ""
    for segment in transcript.segments:
        shares.add(segment)
        yield separator + _to_json(segment.text)[1:-1]
        separator = " "
    yield '","speakers":' + _to_json(shares.objects(transcript)) + ',"segments":['
    separator = ""
    for segment in transcript.segments:
        yield separator + _to_json(_segment_object(segment))
        separator = ","
    yield "]," + _to_json(tail).removeprefix("{") + "\n"


_to_json: Final = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"), allow_nan=False).encode


@dataclass(frozen=True, slots=True)
class _SpeakerShares:
    """How much of the segments seen so far is each speaker's."""

    talk_s: defaultdict[str | None, float] = field(default_factory=lambda: defaultdict(float))
    words: Counter[str | None] = field(default_factory=Counter)

    def add(self, segment: Segment) -> None:
        self.talk_s[segment.speaker] += segment.end_s - segment.start_s
        self.words[segment.speaker] += len(segment.words)

    def objects(self, transcript: Transcript) -> list[dict[str, Any]]:
        return [
            {
                "id": speaker,
                "label": number_label(speaker),
                **_name_object(find_name(speaker, transcript)),
                "talk_s": round(self.talk_s[speaker], 3),
                "words": self.words[speaker],
            }
            for speaker in transcript.speakers
        ]


def _name_object(found: SpeakerName | None) -> dict[str, Any]:
    return {
        "name": found and found.name,
        "voiceprint": found and found.voiceprint_id,
        "score": found and found.score,
        "margin": found and found.margin,
    }


def _piece_object(use: PieceUse) -> dict[str, Any]:
    return {
        "start_s": round(use.span.start_s, 3),
        "end_s": round(use.span.end_s, 3),
        "engine": use.engine,
        "model": use.model,
        "given_up": list(use.given_up),
    }


def _segment_object(segment: Segment) -> dict[str, Any]:
    return {
        "start_s": round(segment.start_s, 3),
        "end_s": round(segment.end_s, 3),
        "speaker": segment.speaker,
        "text": segment.text,
        "words": [_word_object(word) for word in segment.words],
    }


def _word_object(word: Word) -> dict[str, Any]:
    return {
        "text": word.text,
        "start_s": round(word.start_s, 3),
        "end_s": round(word.end_s, 3),
        "confidence": None if word.confidence is None else round(word.confidence, 4),
        "timing": word.timing,
        "speaker": word.speaker,
    }


def _coverage_object(coverage: Coverage) -> dict[str, Any]:
    return {
        "duration_s": round(coverage.duration_s, 3),
        "speech_s": round(coverage.speech_s, 3),
        "covered_speech_s": round(coverage.covered_speech_s, 3),
        "words": coverage.word_count,
        "gaps": [
            {
                "start_s": round(gap.span.start_s, 3),
                "end_s": round(gap.span.end_s, 3),
                "reason": gap.reason,
                "engines": list(gap.engines),
            }
            for gap in coverage.gaps
        ],
        "seams": [
            {"at_s": round(s.at_s, 3), "kind": s.kind, "matched": s.matched, "dropped": list(s.dropped)}
            for s in coverage.seams
        ],
    }


def _warning_object(notice: Notice) -> dict[str, Any]:
    return {
        "code": notice.code,
        "message": notice.message,
        "start_s": round(notice.span.start_s, 3) if notice.span else None,
        "end_s": round(notice.span.end_s, 3) if notice.span else None,
    }


def render_txt(transcript: Transcript) -> Iterator[str]:
    """One paragraph per speaker's turn, headed by its time; gaps stand at their place."""
    separator = ""
    for paragraph in _paragraphs(transcript):
        yield separator + paragraph
        separator = "\n\n"
    yield "\n" if separator else f"{NO_SPEECH}\n"


def _paragraphs(transcript: Transcript) -> Iterator[str]:
    gaps = deque(sorted(transcript.coverage.gaps, key=lambda gap: gap.span.start_s))
    turn: list[Segment] = []
    for segment in transcript.segments:
        gaps_before = [_gap_line(gap) for gap in _take_until(gaps, segment.start_s)]
        if turn and (gaps_before or _is_new_turn(turn[-1], segment)):
            yield _paragraph(turn, transcript)
            turn = []
        yield from gaps_before
        turn.append(segment)
    if turn:
        yield _paragraph(turn, transcript)
    yield from map(_gap_line, gaps)


def _take_until(gaps: deque[Gap], time_s: float) -> Iterator[Gap]:
    while gaps and gaps[0].span.start_s <= time_s:
        yield gaps.popleft()


def _is_new_turn(before: Segment, after: Segment) -> bool:
    return before.speaker != after.speaker or after.start_s - before.end_s >= PARAGRAPH_PAUSE_S


def _paragraph(turn: list[Segment], transcript: Transcript) -> str:
    label = speaker_label(turn[0].speaker, transcript)
    head = f"[{clock(turn[0].start_s)}]" + (f" {label}:" if label else "")
    return f"{head} {one_line(' '.join(segment.text for segment in turn))}"


def _gap_line(gap: Gap) -> str:
    return f"[{clock_span(gap.span)}: not transcribed: {gap_reason(gap)}]"
