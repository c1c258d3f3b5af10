"""A transcript in the formats callers ask for. Pure: bytes out, nothing read or written.

A new format is one function, one row in ``FORMATS`` and one golden file.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final

from erni.errors import UnknownFormat
from erni.exporting.documents import render_json, render_txt
from erni.exporting.subtitles import render_srt, render_vtt
from erni.model import Transcript


@dataclass(frozen=True, slots=True)
class Rendered:
    """An export, made piece by piece while ``parts`` is read, once. ``extension`` has no dot."""

    parts: Iterator[bytes]
    media_type: str
    extension: str


@dataclass(frozen=True, slots=True)
class Format:
    """How one format is made and announced."""

    media_type: str
    extension: str
    render: Callable[[Transcript], Iterator[str]]


FORMATS: Final[dict[str, Format]] = {
    "json": Format("application/json", "json", render_json),
    "srt": Format("application/x-subrip; charset=utf-8", "srt", render_srt),
    "vtt": Format("text/vtt; charset=utf-8", "vtt", render_vtt),
    "txt": Format("text/plain; charset=utf-8", "txt", render_txt),
}


def render(transcript: Transcript, format_name: str) -> Rendered:
    """The transcript in the format of this name.

    Raises:
        UnknownFormat: the name is not in ``FORMATS``.
    """
    if format_name not in FORMATS:
        raise UnknownFormat(
            f"There is no transcript format {format_name!r}; choose one of {', '.join(FORMATS)}.",
            field="format",
        )
    row = FORMATS[format_name]
    # Half a surrogate pair in an engine's text is no character; it must not cost the whole transcript.
    parts = (part.encode("utf-8", errors="replace") for part in row.render(transcript))
    return Rendered(parts, row.media_type, row.extension)
