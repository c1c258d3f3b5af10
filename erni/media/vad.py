"""Where there is speech: Silero's model over a stream of samples at constant memory, and spans from what it
says.

The model is the one bundled in faster-whisper (Silero VAD v6, MIT). faster-whisper runs it over a whole
recording held in memory; here its state is carried from window to window, so that windows change nothing.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt
from faster_whisper.vad import get_vad_model

from erni.model import SAMPLE_RATE_HZ, Span

FRAME_SAMPLES: Final = 512
"""The model gives one probability per 32 ms."""
_CONTEXT_SAMPLES: Final = 64
_WINDOW_SAMPLES: Final = FRAME_SAMPLES * 625
"""20 s: long enough that calls cost nothing, short enough that memory does not matter."""
_STATE_SHAPE: Final = (1, 1, 128)
_INT16_FULL_SCALE: Final = np.float32(32768)


@dataclass(frozen=True, slots=True)
class SpeechOptions:
    """How probabilities become spans.

    Speech begins at ``threshold`` and ends below ``neg_threshold`` (hysteresis, as in Silero's own code).
    Silence shorter than ``min_silence_s`` does not end it, speech shorter than ``min_speech_s`` does not
    count, and what is left grows by ``pad_s`` on both sides. Words outside the spans are later taken for
    invented, so the defaults prefer to hear too much.
    """

    threshold: float = 0.4
    neg_threshold: float = 0.25
    min_speech_s: float = 0.1
    min_silence_s: float = 0.2
    pad_s: float = 0.08


class SpeechDetector:
    """Finds speech in one recording, fed in blocks of any size. Memory: 20 s of audio and 125 bytes per
    second."""

    def __init__(self, options: SpeechOptions | None = None) -> None:
        self._options = options or SpeechOptions()
        self._session: Any = get_vad_model().session  # cached there: loaded once per process, one thread
        self._h = np.zeros(_STATE_SHAPE, dtype=np.float32)
        self._c = np.zeros(_STATE_SHAPE, dtype=np.float32)
        self._context = np.zeros(_CONTEXT_SAMPLES, dtype=np.float32)
        self._window = np.zeros(_WINDOW_SAMPLES, dtype=np.int16)
        self._filled = 0
        self._sample_count = 0
        self._probabilities: list[npt.NDArray[np.float32]] = []

    def feed(self, samples: npt.NDArray[np.int16]) -> None:
        """The recording's next samples (16 kHz mono)."""
        self._sample_count += samples.size
        while samples.size:
            piece = samples[: _WINDOW_SAMPLES - self._filled]
            self._window[self._filled : self._filled + piece.size] = piece
            self._filled += piece.size
            samples = samples[piece.size :]
            if self._filled == _WINDOW_SAMPLES:
                self._run(self._window)
                self._filled = 0

    def finish(self) -> tuple[Span, ...]:
        """All speech of the recording: sorted, disjoint, in seconds. Call once, after the last block."""
        if self._filled:
            frames = -(-self._filled // FRAME_SAMPLES)
            self._window[self._filled :] = 0
            self._run(self._window[: frames * FRAME_SAMPLES])
        if not self._probabilities:
            return ()
        return spans_from_probabilities(
            np.concatenate(self._probabilities), self._sample_count / SAMPLE_RATE_HZ, self._options
        )

    def _run(self, window: npt.NDArray[np.int16]) -> None:
        """One probability per frame; each frame is shown to the model behind the last samples of the one
        before."""
        samples = window.astype(np.float32) / _INT16_FULL_SCALE
        with_context = np.concatenate([self._context, samples])
        frames = np.lib.stride_tricks.sliding_window_view(with_context, _CONTEXT_SAMPLES + FRAME_SAMPLES)
        probabilities, self._h, self._c = self._session.run(
            None, {"input": np.ascontiguousarray(frames[::FRAME_SAMPLES]), "h": self._h, "c": self._c}
        )
        self._context = samples[-_CONTEXT_SAMPLES:]
        self._probabilities.append(probabilities.reshape(-1))


def spans_from_probabilities(
    probabilities: npt.NDArray[np.float32], duration_s: float, options: SpeechOptions
) -> tuple[Span, ...]:
    """Speech from one probability per frame, by hysteresis; no span ends beyond ``duration_s``."""
    frame_s = FRAME_SAMPLES / SAMPLE_RATE_HZ
    spans = _join_near(_stretches_over(probabilities, options), options.min_silence_s / frame_s)
    padded = (
        Span(max(0.0, start * frame_s - options.pad_s), min(duration_s, end * frame_s + options.pad_s))
        for start, end in spans
        if (end - start) * frame_s >= options.min_speech_s
    )
    return tuple(_without_overlaps(list(padded)))


def _stretches_over(probabilities: npt.NDArray[np.float32], options: SpeechOptions) -> list[tuple[int, int]]:
    """Frames ``[start, end)`` from each rise over ``threshold`` to the next fall under ``neg_threshold``."""
    sure = np.zeros(len(probabilities) + 1, dtype=np.int8)
    sure[:-1][probabilities >= options.threshold] = 1
    sure[:-1][probabilities < options.neg_threshold] = -1
    sure[-1] = -1  # the recording's end ends speech
    known = np.flatnonzero(sure)
    is_change = np.diff(sure[known], prepend=np.int8(-1)) != 0
    changes = known[is_change]
    return list(zip(changes[0::2].tolist(), changes[1::2].tolist(), strict=True))


def _join_near(stretches: list[tuple[int, int]], min_silence: float) -> list[tuple[int, int]]:
    joined: list[tuple[int, int]] = []
    for start, end in stretches:
        if joined and start - joined[-1][1] < min_silence:
            joined[-1] = (joined[-1][0], end)
        else:
            joined.append((start, end))
    return joined


def _without_overlaps(spans: list[Span]) -> list[Span]:
    """Where padding made neighbours overlap, they meet halfway."""
    for i in range(1, len(spans)):
        before, after = spans[i - 1], spans[i]
        if after.start_s < before.end_s:
            middle_s = (before.end_s + after.start_s) / 2
            spans[i - 1], spans[i] = Span(before.start_s, middle_s), Span(middle_s, after.end_s)
    return spans
