"""Canonical audio on disk: reading it, and cutting chunks from it in the encoding an engine wants."""

from __future__ import annotations

import functools
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import soundfile

from erni.errors import ConfigError, StorageError, StorageFull, UnreadableMedia
from erni.media.ffmpeg import find_ffmpeg
from erni.model import SAMPLE_RATE_HZ, Span

_BLOCK_SAMPLES: Final = 60 * SAMPLE_RATE_HZ


@dataclass(frozen=True, slots=True)
class AudioFormat:
    """How chunks are written. ``codec`` is ``None`` where libsndfile writes the samples unchanged, else
    ffmpeg's name."""

    media_type: str
    container: str
    codec: str | None = None
    bitrate: str | None = None
    parameters: tuple[str, ...] = ()


AUDIO_FORMATS: Final[dict[str, AudioFormat]] = {
    "flac": AudioFormat("audio/flac", "FLAC"),
    "wav": AudioFormat("audio/wav", "WAV"),
    "mp3": AudioFormat("audio/mpeg", "mp3", "libmp3lame", "64k"),
    "ogg": AudioFormat("audio/ogg", "ogg", "libopus", "32k", ("-application", "voip", "-compression_level", "3")),
    "m4a": AudioFormat("audio/mp4", "ipod", "aac", "64k"),
}
"""Encodings of chunks by name, which is also the file extension. The lossy ones keep 16 kHz speech intact for
recognisers at about a tenth of the size; an engine with a byte limit wants them."""


def cut_chunk(canonical: Path, span: Span, destination: Path, audio_format: str, *, ffmpeg: str | None = None) -> None:
    """Write ``span`` of the canonical audio to ``destination``; FLAC and WAV hold exactly its samples.

    ``ffmpeg`` is the program that encodes the other formats; without it the one on PATH.

    Raises:
        ConfigError: no format has this name, or the program cannot write it.
        StorageError: ``destination`` cannot be written.
    """
    if audio_format not in AUDIO_FORMATS:
        raise ConfigError(f"No audio format {audio_format!r}. Choose one of {', '.join(AUDIO_FORMATS)}.")
    written_as = AUDIO_FORMATS[audio_format]
    if written_as.codec is None:
        _copy_samples(canonical, span, destination, written_as.container)
    else:
        _encode(read_pcm(canonical, span), destination, written_as, ffmpeg)


def read_samples(path: Path) -> npt.NDArray[np.float32]:
    """A whole file of 16 kHz mono FLAC or WAV, as numbers from -1 to 1.

    Raises:
        UnreadableMedia: it is not that.
    """
    with _open(path) as sound:
        samples: npt.NDArray[np.float32] = sound.read(dtype="float32")
    return samples


def read_span(path: Path, span: Span) -> npt.NDArray[np.float32]:
    """Like ``read_samples``, but only the part within ``span``."""
    return read_pcm(path, span).astype(np.float32) / np.float32(32768)


def read_pcm(path: Path, span: Span) -> npt.NDArray[np.int16]:
    """The 16-bit samples within ``span``; fewer where the file ends before."""
    blocks = list(_blocks(path, span))
    return np.concatenate(blocks) if blocks else np.zeros(0, dtype=np.int16)


def _blocks(path: Path, span: Span) -> Iterator[npt.NDArray[np.int16]]:
    """The samples within ``span``, a minute at a time."""
    start = round(span.start_s * SAMPLE_RATE_HZ)
    end = round(span.end_s * SAMPLE_RATE_HZ)
    with _open(path) as sound:
        sound.seek(min(start, sound.frames))
        while start < end:
            block: npt.NDArray[np.int16] = sound.read(min(_BLOCK_SAMPLES, end - start), dtype="int16")
            if not block.size:
                return
            yield block
            start += block.size


def _open(path: Path) -> soundfile.SoundFile:
    try:
        sound = soundfile.SoundFile(path)
    except soundfile.LibsndfileError as error:
        raise UnreadableMedia("The audio is neither FLAC nor WAV, or it is damaged.") from error
    if (sound.samplerate, sound.channels) != (SAMPLE_RATE_HZ, 1):
        sound.close()
        raise UnreadableMedia(f"The audio is not mono at {SAMPLE_RATE_HZ} Hz.")
    return sound


def _copy_samples(canonical: Path, span: Span, destination: Path, container: str) -> None:
    try:
        with soundfile.SoundFile(
            destination, "w", SAMPLE_RATE_HZ, channels=1, subtype="PCM_16", format=container
        ) as sound:
            for block in _blocks(canonical, span):
                sound.write(block)
    except soundfile.LibsndfileError as error:
        raise StorageError("A chunk of audio cannot be written. Is there space left?") from error


def _encode(samples: npt.NDArray[np.int16], destination: Path, written_as: AudioFormat, ffmpeg: str | None) -> None:
    pydub, encode_error = _load_pydub()
    segment = pydub(data=samples.tobytes(), sample_width=2, frame_rate=SAMPLE_RATE_HZ, channels=1)
    segment.converter = find_ffmpeg(ffmpeg)
    try:
        with destination.open("wb+") as opened:
            segment.export(
                opened,
                format=written_as.container,
                codec=written_as.codec,
                bitrate=written_as.bitrate,
                parameters=list(written_as.parameters),
            )
    except encode_error as error:
        if "No space left on device" in str(error):
            raise StorageFull("There is no space left to store a chunk of audio.") from error
        raise ConfigError(
            f"This ffmpeg cannot write {written_as.container} with {written_as.codec}. Install one that can."
        ) from error
    except OSError as error:
        raise StorageError("A chunk of audio cannot be written. Is there space left?") from error


@functools.cache
def _load_pydub() -> tuple[Any, type[Exception]]:
    """Imported late, since few engines need it, and without its warnings: it looks for an ffmpeg on PATH
    before it can be told of ours, and imports ``audioop``, for which ``audioop-lts`` stands in from Python
    3.13 on."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from pydub import AudioSegment  # noqa: PLC0415  see above
        from pydub.exceptions import CouldntEncodeError  # noqa: PLC0415  see above
    return AudioSegment, CouldntEncodeError
