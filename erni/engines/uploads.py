"""Audio on its way to a vendor: whole recordings in the encoding one wants. Knows no vendor."""

from __future__ import annotations

import subprocess
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from erni.errors import ConfigError, StorageError, StorageFull
from erni.media.audio import AUDIO_FORMATS, AudioFormat
from erni.media.ffmpeg import find_ffmpeg

_CHECK_S: Final = 1.0


@dataclass(frozen=True, slots=True)
class Uploads:
    """Encodes canonical audio (16 kHz mono FLAC) with ``ffmpeg`` (without it the one on PATH) into ``directory`` (else
    the system's for temporary files).
    """

    ffmpeg: str | None = None
    directory: Path | None = None

    @contextmanager
    def encoded(self, audio: Path, audio_format: str, checkpoint: Callable[[], None]) -> Iterator[Path]:
        """A file in one of the ``AUDIO_FORMATS``, while inside: the audio itself where it is in that one, as its name
        says.

        Memory does not grow with the recording. ``checkpoint`` is called about every second and may raise.

        Raises:
            ConfigError: no format has this name, or ffmpeg cannot write it.
            StorageError: the audio cannot be read, or there is no space left.
        """
        if audio_format not in AUDIO_FORMATS:
            raise ConfigError(f"No audio format {audio_format!r}. Choose one of {', '.join(AUDIO_FORMATS)}.")
        if audio.suffix == f".{audio_format}":
            yield audio
            return
        with tempfile.TemporaryDirectory(prefix="erni-upload-", dir=self.directory) as made:
            destination = Path(made) / f"recording.{audio_format}"
            self._encode(audio, destination, AUDIO_FORMATS[audio_format], checkpoint)
            yield destination

    def _encode(self, audio: Path, destination: Path, written_as: AudioFormat, checkpoint: Callable[[], None]) -> None:
        command = [
            *(find_ffmpeg(self.ffmpeg), "-nostdin", "-hide_banner", "-loglevel", "error", "-y"),
            *("-protocol_whitelist", "file", "-f", "flac", "-i", f"file:{audio.absolute()}", "-map_metadata", "-1"),
            *("-c:a", written_as.codec or "pcm_s16le", *written_as.parameters),
            *(("-b:a", written_as.bitrate) if written_as.bitrate is not None else ()),
            *("-f", written_as.container.lower(), f"file:{destination.absolute()}"),
        ]
        with tempfile.TemporaryFile(dir=self.directory) as messages:
            with subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=messages, stderr=messages) as process:
                try:
                    while process.poll() is None:
                        checkpoint()
                        _wait(process)
                finally:
                    process.kill()
            if process.returncode != 0:
                messages.seek(0)
                raise _explain(messages.read().decode("utf-8", errors="replace"), written_as)


def file_size_bytes(file: Path) -> int:
    """Raises StorageError: the file is gone."""
    try:
        return file.stat().st_size
    except OSError as error:
        raise StorageError(f"The audio to upload cannot be read ({error.strerror}).") from error


def _wait(process: subprocess.Popen[bytes]) -> None:
    """For its end, or for the next look at the checkpoint."""
    try:
        process.wait(_CHECK_S)
    except subprocess.TimeoutExpired:
        return


def _explain(said: str, written_as: AudioFormat) -> ConfigError | StorageError:
    if "No space left on device" in said:
        return StorageFull("There is no space left to encode a recording for its upload.")
    if "Unknown encoder" in said or "Encoder not found" in said:
        return ConfigError(
            f"This ffmpeg cannot write {written_as.container} with {written_as.codec}. Install one that can."
        )
    return StorageError("A recording cannot be encoded for its upload: its audio is gone or damaged.")
