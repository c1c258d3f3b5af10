"""How speakers, times and words are shown to people. Knows nothing of any one format."""

from __future__ import annotations

import math
import re
from typing import Final

from erni.model import Gap, Span, SpeakerName, Transcript

_NUMBERED = re.compile(r"speaker_(\d+)")
UNKNOWN_SPEAKER: Final = "Unknown speaker"
NO_SPEECH: Final = "No speech was found in this recording."


def speaker_label(speaker: str | None, transcript: Transcript) -> str | None:
    """The name of a speaker whose voice is known; ``speaker_1`` is shown as ``Speaker 1``, any other label as it is.

    ``None`` where the transcript tells no speakers apart. A word without a speaker among words that have one
    is an ``Unknown speaker``'s, lest it be read as the previous speaker's.
    """
    if speaker is None:
        return UNKNOWN_SPEAKER if transcript.speakers else None
    named = find_name(speaker, transcript)
    return one_line(named.name) if named and named.name else number_label(speaker)


def number_label(speaker: str) -> str:
    """How a speaker is shown whose voice is not known."""
    numbered = _NUMBERED.fullmatch(speaker)
    return f"Speaker {numbered[1]}" if numbered else one_line(speaker)


def find_name(speaker: str, transcript: Transcript) -> SpeakerName | None:
    """What was found out of whose voice this is; ``None`` where that was not asked."""
    return next((found for found in transcript.names if found.speaker == speaker), None)


def one_line(text: str) -> str:
    """``text`` with every stretch of white space, line breaks included, as one space."""
    return " ".join(text.split())


def gap_reason(gap: Gap) -> str:
    """Why speech is missing and which engines were tried, in one line."""
    tried = f" (tried: {', '.join(gap.engines)})" if gap.engines else ""
    return one_line(f"{gap.reason}{tried}")


def clock(time_s: float) -> str:
    """``HH:MM:SS``, rounded down: a reader who jumps there misses nothing."""
    minutes, seconds = divmod(int(time_s), 60)
    return f"{minutes // 60:02}:{minutes % 60:02}:{seconds:02}"


def clock_span(span: Span) -> str:
    """Both clocks with a dash between; the end is rounded up, so that nothing missing lies outside."""
    return f"{clock(span.start_s)}\N{EN DASH}{clock(math.ceil(span.end_s))}"


def clock_with_ms(time_ms: int, mark: str) -> str:
    """``HH:MM:SS`` and milliseconds after the decimal ``mark``."""
    seconds, milliseconds = divmod(time_ms, 1000)
    return f"{clock(seconds)}{mark}{milliseconds:03}"
