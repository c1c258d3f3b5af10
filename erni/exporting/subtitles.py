"""Captions as SubRip and WebVTT text.

SubRip has no standard; what is written is what all players read: a number, times with a comma, plain text.
WebVTT (W3C Candidate Recommendation, 2019) names the speaker in a voice tag and has comments, which players do not
display: a gap's reason stands there, beside the caption that tells the viewer of the gap.
"""

from __future__ import annotations

import html
from collections.abc import Iterator

from erni.exporting.captions import Caption, build_captions
from erni.exporting.labels import NO_SPEECH, clock_with_ms, gap_reason
from erni.model import Gap, Transcript


def render_srt(transcript: Transcript) -> Iterator[str]:
    """Numbered captions, with ``Speaker 1:`` before each turn where there is more than one speaker.

    Without words or gaps it is empty, which is a valid file.
    """
    separator = ""
    for number, caption in enumerate(build_captions(transcript, name_speakers=True), start=1):
        yield separator + "\n".join((str(number), _times(caption, ","), *caption.lines, ""))
        separator = "\n"


def render_vtt(transcript: Transcript) -> Iterator[str]:
    """A voice tag on every caption of a speaker, a ``NOTE`` before the caption of every gap."""
    yield "WEBVTT\n"
    caption = None
    for caption in build_captions(transcript, name_speakers=False):
        if caption.gap is not None:
            yield f"\n{_gap_note(caption.gap)}\n"
        yield f"\n{_times(caption, '.')}\n{_voiced(caption)}\n"
    if caption is None:
        yield f"\nNOTE {NO_SPEECH}\n"


def _times(caption: Caption, mark: str) -> str:
    return f"{clock_with_ms(caption.start_ms, mark)} --> {clock_with_ms(caption.end_ms, mark)}"


def _voiced(caption: Caption) -> str:
    text = html.escape("\n".join(caption.lines), quote=False)
    return f"<v {html.escape(caption.speaker, quote=False)}>{text}" if caption.speaker else text


def _gap_note(gap: Gap) -> str:
    start, end = (clock_with_ms(round(time_s * 1000), ".") for time_s in (gap.span.start_s, gap.span.end_s))
    # The arrow of a timing line is the one thing a comment must not hold.
    return f"NOTE {start}\N{EN DASH}{end} not transcribed: {gap_reason(gap).replace('-->', '→')}"
