"""Model to stored JSON and back: the only place that knows how Erni writes down its own values.

A document is an envelope (``erni.envelopes``) and what this room puts into it. Values that occur by the
thousand (words, turns, spans) are rows, not objects: fewer bytes and less time. A transcript's segments stand on lines
of their own, so that a day of speech is written and read line by line; it is one JSON document all the same. The stored
form is Erni's own business; what callers receive is made by ``erni.exporting``. Knows no store.

Every ``load_`` raises DocumentDamaged when the bytes are not such a document or a newer Erni wrote them.
"""

from __future__ import annotations

import io
import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from itertools import groupby
from sys import intern
from typing import IO, Any

from erni.envelopes import dump_envelope, encode_json, load_envelope
from erni.errors import DocumentDamaged
from erni.model import (
    Bill,
    Chunk,
    Coverage,
    Diarization,
    EngineUse,
    Gap,
    Notice,
    OneShotAnswer,
    Outcome,
    PieceUse,
    Plan,
    Preparation,
    Recognition,
    Seam,
    Segment,
    Span,
    SpeakerName,
    Transcript,
    Turn,
    VoiceScore,
    Word,
)
from erni.packing import PackedWords, SegmentLines, pack_segments, pack_words


def dump_plan(plan: Plan) -> bytes:
    """Times are kept to the last bit, because they become sample positions."""
    return dump_envelope("plan", _plan_object(plan))


def load_plan(content: bytes) -> Plan:
    """The plan, bit for bit as it was dumped."""
    return load_envelope("plan", content, _plan)


def dump_recognition(recognition: Recognition) -> bytes:
    """Word times are kept to the millisecond."""
    return dump_envelope("recognition", _recognition_object(recognition))


def load_recognition(content: bytes) -> Recognition:
    """What one chunk's transcriber heard."""
    return load_envelope("recognition", content, _recognition)


def dump_diarization(diarization: Diarization) -> bytes:
    """Turn times are kept to the millisecond."""
    return dump_envelope("diarization", _diarization_object(diarization))


def load_diarization(content: bytes) -> Diarization:
    """Who speaks when."""
    return load_envelope("diarization", content, _diarization)


def dump_one_shot(answer: OneShotAnswer) -> bytes:
    """Words and turns as above."""
    recognition, diarization = _recognition_object(answer.recognition), _diarization_object(answer.diarization)
    return dump_envelope("one_shot", {"recognition": recognition, "diarization": diarization})


def load_one_shot(content: bytes) -> OneShotAnswer:
    """What an engine found in a recording in one go."""
    return load_envelope(
        "one_shot",
        content,
        lambda body: OneShotAnswer(_recognition(body["recognition"]), _diarization(body["diarization"])),
    )


def dump_transcript(transcript: Transcript) -> bytes:
    """All times are kept to the millisecond."""
    document = io.BytesIO()
    write_transcript(transcript, document)
    return document.getvalue()


def write_transcript(transcript: Transcript, file: IO[bytes]) -> None:
    """Like ``dump_transcript``, line by line to a file opened for writing."""
    file.writelines(_lines("transcript", _transcript_object(transcript), transcript.segments))


def load_transcript(content: bytes) -> Transcript:
    """The joined transcript."""
    transcript = read_transcript(io.BytesIO(content))
    return replace(transcript, segments=pack_segments(transcript.segments))


def read_transcript(file: IO[bytes]) -> Transcript:
    """Like ``load_transcript``, from an open file that can be sought in. It must stay open as long as segments are
    wanted, because each is read when it is asked for; damage to one is told then.
    """
    lines = SegmentLines(file, _segment_line)
    return load_envelope("transcript", lines.frame, lambda body: _transcript(body, lines))


def dump_preparation(preparation: Preparation) -> bytes:
    """A plan in full, and where its audio is."""
    return dump_envelope("preparation", {"plan": _plan_object(preparation.plan), "job_id": preparation.job_id})


def load_preparation(content: bytes) -> Preparation:
    """The plan of an earlier job."""
    return load_envelope("preparation", content, lambda body: Preparation(_plan(body["plan"]), body["job_id"]))


def dump_outcome(outcome: Outcome) -> bytes:
    """Where a whole job's answer is."""
    body = {
        "job_id": outcome.job_id,
        "chunks_total": outcome.chunks_total,
        "engine_s": _to_ms(outcome.engine_s),
        "usd": outcome.usd,
    }
    return dump_envelope("outcome", body)


def load_outcome(content: bytes) -> Outcome:
    """The answer of an earlier job."""
    return load_envelope("outcome", content, _outcome)


def _lines(kind: str, body: dict[str, Any], segments: Iterable[Segment]) -> Iterator[bytes]:
    """A document with ``segments``, for which ``body`` holds an empty list behind everything else."""
    head, _, tail = dump_envelope(kind, body).rpartition(b"[]")
    yield head + b"["
    separator = b"\n"
    for segment in segments:
        yield separator + encode_json(_segment_row(segment))
        separator = b",\n"
    yield b"\n]" + tail


def _to_ms(time_s: float) -> float:
    return round(time_s, 3)


def _word_row(word: Word) -> list[Any]:
    confidence = None if word.confidence is None else round(word.confidence, 4)
    return [word.text, round(word.start_s, 3), round(word.end_s, 3), confidence, word.timing, word.speaker]


def _notice_row(notice: Notice) -> list[Any]:
    return [notice.code, notice.message, _span_row(notice.span) if notice.span else None]


def _span_row(span: Span) -> list[float]:
    return [_to_ms(span.start_s), _to_ms(span.end_s)]


def _recognition_object(recognition: Recognition) -> dict[str, Any]:
    return {
        "engine": recognition.engine,
        "model": recognition.model,
        "language": recognition.language,
        "language_confidence": recognition.language_confidence,
        "words": [_word_row(word) for word in recognition.words],
        "warnings": [_notice_row(notice) for notice in recognition.warnings],
        "engine_s": _to_ms(recognition.engine_s),
        "bill": _bill_row(recognition.bill),
        "places": [[len(list(words)), *_span_row(place)] for place, words in groupby(recognition.places)],
    }


def _diarization_object(diarization: Diarization) -> dict[str, Any]:
    return {
        "engine": diarization.engine,
        "model": diarization.model,
        "turns": [[_to_ms(t.start_s), _to_ms(t.end_s), t.speaker] for t in diarization.turns],
        "engine_s": _to_ms(diarization.engine_s),
        "scores": [[score.speaker, score.voice, round(score.score, 4)] for score in diarization.scores],
        "bill": _bill_row(diarization.bill),
    }


def _bill_row(bill: Bill | None) -> list[Any] | None:
    return None if bill is None else [bill.usd, dict(bill.usage)]


def _plan_object(plan: Plan) -> dict[str, Any]:
    return {
        "duration_s": plan.duration_s,
        "speech": [[span.start_s, span.end_s] for span in plan.speech],
        "chunks": [
            [c.index, c.own.start_s, c.own.end_s, c.audio.start_s, c.audio.end_s, c.overlaps_next, c.digest]
            for c in plan.chunks
        ],
        "audio_format": plan.audio_format,
        "audio_digest": plan.audio_digest,
        "notices": [_notice_row(notice) for notice in plan.notices],
        "is_one_shot": plan.is_one_shot,
    }


def _transcript_object(transcript: Transcript) -> dict[str, Any]:
    return {
        "language": transcript.language,
        "speakers": transcript.speakers,
        "coverage": _coverage_object(transcript.coverage),
        "engines": [[use.role, use.engine, use.model, use.grade] for use in transcript.engines],
        "warnings": [_notice_row(notice) for notice in transcript.warnings],
        "pieces": [[*_span_row(use.span), use.engine, use.model, use.given_up] for use in transcript.pieces],
        "names": [[name.speaker, name.name, name.voiceprint_id, name.score, name.margin] for name in transcript.names],
        "segments": [],
    }


def _segment_row(segment: Segment) -> list[Any]:
    words = [_word_row(word) for word in segment.words]
    return [_to_ms(segment.start_s), _to_ms(segment.end_s), segment.speaker, words]


def _coverage_object(coverage: Coverage) -> dict[str, Any]:
    return {
        "duration_s": _to_ms(coverage.duration_s),
        "speech_s": _to_ms(coverage.speech_s),
        "covered_speech_s": _to_ms(coverage.covered_speech_s),
        "word_count": coverage.word_count,
        "gaps": [[*_span_row(gap.span), gap.reason, gap.engines] for gap in coverage.gaps],
        "seams": [[_to_ms(seam.at_s), seam.kind, seam.matched, seam.dropped] for seam in coverage.seams],
    }


def _words(rows: Any) -> PackedWords:
    """One word said in many chunks is one string."""
    return pack_words(Word(intern(row[0]), *row[1:]) for row in rows)


def _segment(row: Any) -> Segment:
    start_s, end_s, speaker, rows = row
    return Segment(start_s, end_s, speaker, tuple([Word(*word) for word in rows]))


def _segment_line(line: bytes) -> Segment:
    try:
        return _segment(json.loads(line.rstrip(b",\n")))
    except (ValueError, TypeError) as error:
        raise DocumentDamaged("The stored transcript is damaged: one of its segments cannot be read.") from error


def _spans(rows: Any) -> tuple[Span, ...]:
    return tuple([Span(start_s, end_s) for start_s, end_s in rows])


def _notices(rows: Any) -> tuple[Notice, ...]:
    return tuple([Notice(code, message, Span(*span) if span else None) for code, message, span in rows])


def _chunk(row: Any) -> Chunk:
    index, own_start_s, own_end_s, audio_start_s, audio_end_s, overlaps_next, *digest = row
    return Chunk(index, Span(own_start_s, own_end_s), Span(audio_start_s, audio_end_s), overlaps_next, *digest)


def _plan(body: Any) -> Plan:
    return Plan(
        duration_s=body["duration_s"],
        speech=_spans(body["speech"]),
        chunks=tuple([_chunk(row) for row in body["chunks"]]),
        audio_format=body["audio_format"],
        # Absent in version 1.
        audio_digest=body.get("audio_digest"),
        notices=_notices(body.get("notices", ())),
        # Absent where all recordings were cut.
        is_one_shot=body.get("is_one_shot", False),
    )


def _recognition(body: Any) -> Recognition:
    return Recognition(
        engine=body["engine"],
        model=body["model"],
        language=body["language"],
        words=_words(body["words"]),
        warnings=_notices(body["warnings"]),
        engine_s=body["engine_s"],
        # Absent in what the first Ernis wrote.
        language_confidence=body.get("language_confidence"),
        bill=_bill(body.get("bill")),
        places=_places(body.get("places", ()), len(body["words"])),
    )


def _places(rows: Any, word_count: int) -> tuple[Span, ...]:
    """A row stands for all the words of a segment."""
    places = tuple([place for count, *times in rows for place in [Span(*times)] * count])
    if places and len(places) != word_count:
        raise ValueError("Each word has a place, or none has.")
    return places


def _diarization(body: Any) -> Diarization:
    return Diarization(
        engine=body["engine"],
        model=body["model"],
        turns=tuple([Turn(*row) for row in body["turns"]]),
        engine_s=body["engine_s"],
        # Absent before there were known voices and bills.
        scores=tuple([VoiceScore(*row) for row in body.get("scores", ())]),
        bill=_bill(body.get("bill")),
    )


def _bill(row: Any) -> Bill | None:
    return None if row is None else Bill(row[0], row[1])


def _piece_use(row: Any) -> PieceUse:
    start_s, end_s, engine, model, given_up = row
    return PieceUse(Span(start_s, end_s), engine, model, tuple(given_up))


def _coverage(body: Any) -> Coverage:
    return Coverage(
        duration_s=body["duration_s"],
        speech_s=body["speech_s"],
        covered_speech_s=body["covered_speech_s"],
        word_count=body["word_count"],
        gaps=tuple(
            [Gap(Span(start_s, end_s), reason, tuple(engines)) for start_s, end_s, reason, engines in body["gaps"]]
        ),
        seams=tuple([Seam(at_s, kind, matched, tuple(dropped)) for at_s, kind, matched, dropped in body["seams"]]),
    )


def _transcript(body: Any, lines: Sequence[Segment]) -> Transcript:
    return Transcript(
        language=body["language"],
        # An older Erni wrote them all on the one line it wrote.
        segments=pack_segments(map(_segment, body["segments"])) if body["segments"] else lines,
        speakers=tuple(body["speakers"]),
        coverage=_coverage(body["coverage"]),
        engines=tuple([EngineUse(*row) for row in body["engines"]]),
        warnings=_notices(body["warnings"]),
        # Absent before there were several engines and known voices.
        pieces=tuple([_piece_use(row) for row in body.get("pieces", ())]),
        names=tuple([SpeakerName(*row) for row in body.get("names", ())]),
    )


def _outcome(body: Any) -> Outcome:
    return Outcome(body["job_id"], body["chunks_total"], body["engine_s"], body["usd"])
