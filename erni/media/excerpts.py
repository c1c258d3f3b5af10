"""Excerpts of canonical audio: some stretches of it, one after another in a file of their own."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import soundfile

from erni.errors import StorageError
from erni.media.audio import read_pcm
from erni.model import SAMPLE_RATE_HZ, Span


@dataclass(frozen=True, slots=True)
class Sample:
    """Canonical audio, and the speech in it that counts."""

    audio: Path
    speech: tuple[Span, ...]


def write_excerpt(canonical: Path, spans: Sequence[Span], destination: Path) -> None:
    """Write the samples within ``spans`` to ``destination``, a FLAC file.

    Raises:
        UnreadableMedia: ``canonical`` is not 16 kHz mono FLAC or WAV.
        StorageError: ``destination`` cannot be written.
    """
    try:
        with soundfile.SoundFile(
            destination, "w", SAMPLE_RATE_HZ, channels=1, subtype="PCM_16", format="FLAC"
        ) as sound:
            for span in spans:
                sound.write(read_pcm(canonical, span))
    except soundfile.LibsndfileError as error:
        raise StorageError("An excerpt of a recording cannot be written. Is there space left?") from error


def first_seconds(spans: Sequence[Span], most_s: float) -> tuple[Span, ...]:
    """The first of ``spans``, together no longer than ``most_s``; the last one is cut short where it must be."""
    kept: list[Span] = []
    for span in spans:
        left_s = most_s - sum(one.duration_s for one in kept)
        if left_s <= 0:
            break
        kept.append(Span(span.start_s, min(span.end_s, span.start_s + left_s)))
    return tuple(kept)
