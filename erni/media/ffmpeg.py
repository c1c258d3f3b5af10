"""Decoding of uploads: one ffmpeg process, any sound or video in, canonical audio out; knows nothing of jobs.

An upload is hostile until decoded. Its content alone decides what it is; ffmpeg may open that one file and
nothing else, and only through demuxers that never open a second one (no playlists, no concatenation scripts,
no images).
"""

from __future__ import annotations

import selectors
import shutil
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Final

import imageio_ffmpeg
import numpy as np
import numpy.typing as npt
import structlog

from erni.errors import ConfigError, EmptyUpload, MediaTooLong, StorageFull, UnreadableMedia
from erni.media.ffmpeg_log import explain_no_sound, is_noise, parse_media_info, promised_duration_s
from erni.model import SAMPLE_RATE_HZ, MediaInfo

log = structlog.get_logger(__name__)

_BYTES_PER_SAMPLE: Final = 2
_BLOCK_BYTES: Final = 10 * SAMPLE_RATE_HZ * _BYTES_PER_SAMPLE
_LOG_HEAD_BYTES: Final = 32 * 1024
_LOG_TAIL_BYTES: Final = 64 * 1024
_POLL_S: Final = 1.0

_DEMUXERS: Final = (
    "wav,w64,aiff,au,caf,nistsphere,flac,mp3,aac,loas,ogg,ac3,eac3,dts,amr,gsm,dss,wv,ape,tta,"
    "mov,matroska,asf,avi,mpegts,mpeg,flv"
)
"""Containers of sound and video that hold everything in one file. ffmpeg refuses any other before it reads
on: ``hls``, ``dash`` and ``concat`` would open whatever paths or addresses an upload names. ``mov`` can refer
to other files too, which ffmpeg leaves off by default (``enable_drefs``)."""

_TIMELINE: Final = (
    "st(0,PTS+ld(2)-ld(1));"
    "if(gt(abs(ld(0)),800),"
    "if(between(ld(0),0,if(N,28800000,32000))*not(ld(3)),"
    "st(1,ld(1)+ld(0)),"
    "st(2,ld(2)-ld(0));st(3,max(ld(3),lt(ld(0),0)))));"
    "st(1,ld(1)+NB_SAMPLES);ld(1)-NB_SAMPLES"
)
"""Keeps time as a player would, and every sample. Memory 0 is the distance, in samples, from where the sound
so far ends (1) to the frame's own time, corrected by 2. Up to 50 ms the frame follows on. A hole of up to 30
minutes (a muted track) stays, to be filled with silence, and so does a late beginning of up to 2 s: not more,
because ffmpeg begins anew whenever the sample rate or the channels change. Any other jump is ignored, and
once time ran backwards (recordings pasted together, damage) it is not believed again (3).

Without this, ffmpeg's ``async`` drops sound whose time was there before; without ``async``, holes close up
and all later times are early."""

_FILTERS: Final = (
    "[0:a:0]aformat=sample_fmts=s16:sample_rates=16000:channel_layouts=mono,"
    f"asetpts='{_TIMELINE}',aresample=async=1:first_pts=0:min_hard_comp=0.02,"
    "asetnsamples=n=16000:p=0,asplit=2[flac][pcm]"
)
"""Frames of one second, because ffmpeg 7 and later hand each frame from thread to thread: an hour of MP3 took
26 s with its own small frames, 3 s with these."""


_INPUT_OPTIONS: Final = (
    *("-nostdin", "-hide_banner", "-nostats", "-loglevel", "level+info"),
    # One block of memory has a bound whatever a header claims.
    *("-max_alloc", str(512 * 1024**2)),
    *("-protocol_whitelist", "file", "-format_whitelist", _DEMUXERS),
)
_PROBE_S: Final = 10.0
"""Longest look at a header."""


def find_ffmpeg(configured: str | None) -> str:
    """The configured binary, else the one on PATH, else the one in the ``imageio-ffmpeg`` wheel.

    Raises:
        ConfigError: there is none, or the configured one cannot be run.
    """
    if configured is not None:
        if program := shutil.which(configured):
            return program
        raise ConfigError(f"ffmpeg: {configured!r} is not a program that can be run. Correct or unset the setting.")
    if program := shutil.which("ffmpeg"):
        return program
    try:
        return str(imageio_ffmpeg.get_ffmpeg_exe())
    except RuntimeError as error:
        raise ConfigError("No ffmpeg was found. Install ffmpeg, or name the binary in the settings.") from error


@dataclass(frozen=True, slots=True)
class Decoder:
    """Turns uploads into canonical audio. ``timeout_s`` bounds one decoding, ``max_duration_s`` one
    recording."""

    program: str
    timeout_s: float
    max_duration_s: float

    def decode(
        self,
        source: Path,
        destination: Path,
        on_samples: Callable[[npt.NDArray[np.int16]], None],
        checkpoint: Callable[[], None],
    ) -> MediaInfo:
        """Write ``source`` to ``destination`` as 16 kHz mono 16-bit FLAC, and hand out the same samples
        meanwhile.

        ``on_samples`` gets blocks of up to 10 s, in order; memory does not grow with the recording.
        ``checkpoint`` is called at least every second or block and may raise. Whatever is raised,
        ``destination`` is gone.

        Raises:
            EmptyUpload: zero bytes.
            UnreadableMedia: no sound in it, not media, incomplete, encrypted, or too slow to decode.
            MediaTooLong: longer than the limit.
            StorageFull: no space for ``destination``.
        """
        if source.stat().st_size == 0:
            raise EmptyUpload("The file is empty (0 bytes). Upload it again.")
        try:
            return self._decode(source, destination, on_samples, checkpoint)
        except BaseException:
            destination.unlink(missing_ok=True)
            raise

    def promised_duration_s(self, source: Path) -> float:
        """What the file's header says of its length, 0 where it says nothing; takes no longer for a long one."""
        command = [self.program, *_INPUT_OPTIONS, "-i", f"file:{source.absolute()}"]
        # Without an output ffmpeg describes the input and complains that there is nothing to do.
        try:
            described = subprocess.run(command, capture_output=True, timeout=_PROBE_S, check=False)
        except subprocess.TimeoutExpired:
            return 0.0
        return promised_duration_s(described.stderr[-_LOG_HEAD_BYTES:].decode("utf-8", errors="replace"))

    def _decode(
        self,
        source: Path,
        destination: Path,
        on_samples: Callable[[npt.NDArray[np.int16]], None],
        checkpoint: Callable[[], None],
    ) -> MediaInfo:
        sample_count = 0
        with _running(_command(self.program, source, destination)) as (process, messages):
            for block in self._blocks(process, checkpoint):
                sample_count += block.size
                self._check_length(sample_count)
                on_samples(block)
            returncode = process.wait()
        text = messages.text()
        if "No space left on device" in text:
            raise StorageFull("There is no space left to store the decoded recording.")
        duration_s = sample_count / SAMPLE_RATE_HZ
        if sample_count == 0 or is_noise(text, duration_s):
            raise explain_no_sound(text)
        if returncode != 0:
            log.warning("decoder_failed", returncode=returncode, samples=sample_count)
            raise UnreadableMedia(
                "Decoding broke off. The file may be damaged: check that it plays, or send it as MP3 or WAV."
            )
        return parse_media_info(text, duration_s)

    def _blocks(
        self, process: subprocess.Popen[bytes], checkpoint: Callable[[], None]
    ) -> Iterator[npt.NDArray[np.int16]]:
        """What the process writes, in blocks; the last one is shorter."""
        deadline = time.monotonic() + self.timeout_s
        stdout = _pipe(process.stdout)
        pending = bytearray()
        with selectors.DefaultSelector() as selector:
            selector.register(stdout, selectors.EVENT_READ)
            while True:
                if time.monotonic() > deadline:
                    raise UnreadableMedia(
                        f"Decoding took longer than {self.timeout_s:g} s and was stopped."
                        " Send a shorter recording, or one in a simpler format such as MP3 or WAV."
                    )
                if not selector.select(_POLL_S):
                    checkpoint()
                    continue
                piece = stdout.read(_BLOCK_BYTES - len(pending))
                pending += piece
                if len(pending) == _BLOCK_BYTES or not piece:
                    whole = len(pending) - len(pending) % _BYTES_PER_SAMPLE
                    if whole:
                        yield np.frombuffer(bytes(pending[:whole]), dtype="<i2")
                    pending.clear()
                    checkpoint()
                if not piece:
                    return

    def _check_length(self, sample_count: int) -> None:
        if sample_count > self.max_duration_s * SAMPLE_RATE_HZ:
            raise MediaTooLong(
                f"The recording is longer than the limit of {self.max_duration_s / 3600:g} hours"
                f" ({self.max_duration_s:g} s). Split it and send the parts."
            )


def _command(program: str, source: Path, destination: Path) -> list[str]:
    """The ``file:`` prefix keeps a name from being read as an option or an address."""
    return [
        *(program, "-y", *_INPUT_OPTIONS),
        # Damage is no reason to stop.
        *("-max_error_rate", "1"),
        *("-vn", "-sn", "-dn", "-i", f"file:{source.absolute()}"),
        *("-filter_complex", _FILTERS),
        # Without tags and encoder name, equal sound gives equal bytes and the upload's tags stay out of the
        # store.
        *("-map", "[flac]", "-map_metadata", "-1", "-map_chapters", "-1", "-bitexact"),
        *("-f", "flac", f"file:{destination.absolute()}"),
        *("-map", "[pcm]", "-f", "s16le", "pipe:1"),
    ]


class _Messages:
    """The beginning and the end of a program's standard error, drained on a thread so that it never
    blocks."""

    def __init__(self, stream: IO[bytes]) -> None:
        self._stream = stream
        self._head = bytearray()
        self._tail = bytearray()
        self._thread = threading.Thread(target=self._drain, name="ffmpeg-messages", daemon=True)
        self._thread.start()

    def _drain(self) -> None:
        while piece := self._stream.read(4096):
            room = max(0, _LOG_HEAD_BYTES - len(self._head))
            self._head += piece[:room]
            self._tail += piece[room:]
            del self._tail[:-_LOG_TAIL_BYTES]

    def finish(self) -> None:
        """Wait for the program's last word; only after the program has ended."""
        self._thread.join()

    def text(self) -> str:
        return (self._head + self._tail).decode("utf-8", errors="replace")


@contextmanager
def _running(command: list[str]) -> Iterator[tuple[subprocess.Popen[bytes], _Messages]]:
    """The started process and its messages. However the block is left, the process has ended."""
    with subprocess.Popen(
        command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, bufsize=0
    ) as process:
        messages = _Messages(_pipe(process.stderr))
        try:
            yield process, messages
        finally:
            process.kill()
            process.wait()
            messages.finish()


def _pipe(stream: IO[bytes] | None) -> IO[bytes]:
    if stream is None:
        raise AssertionError("the process was started with pipes")
    return stream
