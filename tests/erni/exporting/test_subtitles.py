"""What SubRip and WebVTT need beyond the golden files."""

from __future__ import annotations

from erni.exporting.subtitles import render_srt, render_vtt
from erni.model import Coverage, Gap, Segment, Span, Transcript, Word


def transcript(speaker: str, text: str, *gaps: Gap) -> Transcript:
    segment = Segment(3600.0, 3601.5, speaker, (Word(text, 3600.0, 3601.5, speaker=speaker),))
    return Transcript("en", (segment,), (speaker,), Coverage(4000.0, 1.5, 1.5, 1, gaps))


def test_voice_tag_cannot_be_closed_by_a_speakers_name() -> None:
    assert "<v A &lt;b&gt; &amp; co>hi" in "".join(render_vtt(transcript("A <b> &\nco", "hi")))


def test_cue_text_cannot_open_a_tag() -> None:
    assert "&lt;c&gt;" in "".join(render_vtt(transcript("a", "<c>")))


def test_comment_cannot_hold_a_timing_arrow() -> None:
    gap = Gap(Span(0.0, 1.0), "00:01 -->\n\n00:02", ("a-->b",))
    note = "".join(render_vtt(transcript("a", "hi", gap))).split("\n\n")[1]
    assert note == "NOTE 00:00:00.000\N{EN DASH}00:00:01.000 not transcribed: 00:01 → 00:02 (tried: a→b)"


def test_times_carry_hours_and_the_formats_own_mark() -> None:
    assert "01:00:00,000 --> 01:00:01,500" in "".join(render_srt(transcript("a", "hi")))
    assert "01:00:00.000 --> 01:00:01.500" in "".join(render_vtt(transcript("a", "hi")))


def test_recording_of_gaps_alone_is_not_called_silent() -> None:
    lost = Transcript("en", (), (), Coverage(9.0, 9.0, 0.0, 0, (Gap(Span(0.0, 9.0), "Lost."),)))
    assert "No speech" not in "".join(render_vtt(lost))
    assert (
        "".join(render_srt(lost))
        == "1\n00:00:00,000 --> 00:00:07,000\n[not transcribed: 00:00:00\N{EN DASH}00:00:09]\n"
    )
