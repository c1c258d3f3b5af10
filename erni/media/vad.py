"""Where there is speech: Silero's model over a stream of samples at constant memory, and spans from what it
says.

The model is Silero VAD v6 (MIT) as bundled in faster-whisper, its convolutions written out as matrix products by
``samples/make_speech_model.py``: the same probabilities to five digits in 0.3 of the time, because a convolution with
four places to go leaves a processor's vector units idle. Its state is carried from window to window, so that windows
change nothing.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from erni.model import SAMPLE_RATE_HZ, Span

FRAME_SAMPLES: Final = 512
"""The model gives one probability per 32 ms."""
_CONTEXT_SAMPLES: Final = 64
_WINDOW_SAMPLES: Final = FRAME_SAMPLES * 125
"""4 s: long enough that calls cost nothing, short enough that memory does not matter."""
_MODEL: Final = Path(__file__).with_name("silero_vad_v6_dense.onnx")
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
    """Finds speech in one recording, fed in blocks of any size. Memory: 4 s of audio, and where speech begins and
    ends."""

    def __init__(self, options: SpeechOptions | None = None) -> None:
        self._options = options or SpeechOptions()
        self._session = _load_model()
        self._h = np.zeros(_STATE_SHAPE, dtype=np.float32)
        self._c = np.zeros(_STATE_SHAPE, dtype=np.float32)
        self._context = np.zeros(_CONTEXT_SAMPLES, dtype=np.float32)
        self._window = np.zeros(_WINDOW_SAMPLES, dtype=np.int16)
        self._filled = 0
        self._sample_count = 0
        self._frame_count = 0
        self._changes: list[int] = []

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
        return _spans(self._changes, self._frame_count, self._sample_count / SAMPLE_RATE_HZ, self._options)

    def _run(self, window: npt.NDArray[np.int16]) -> None:
        """One probability per frame; each frame is shown to the model behind the last samples of the one
        before."""
        samples = window.astype(np.float32) / _INT16_FULL_SCALE
        with_context = np.concatenate([self._context, samples])
        frames = np.lib.stride_tricks.sliding_window_view(with_context, _CONTEXT_SAMPLES + FRAME_SAMPLES)
        probabilities, self._h, self._c = self._session.run(
            None, {"input": np.ascontiguousarray(frames[::FRAME_SAMPLES]), "h": self._h, "c": self._c}
        )
        self._context = samples[-_CONTEXT_SAMPLES:].copy()  # a view would keep the whole window
        changes = _find_changes(probabilities.reshape(-1), self._options, is_speech=len(self._changes) % 2 == 1)
        self._changes += (self._frame_count + changes).tolist()
        self._frame_count += window.size // FRAME_SAMPLES


@functools.cache
def _load_model() -> Any:
    """A session of one thread, which any number of detectors may share."""
    import onnxruntime  # noqa: PLC0415  megabytes that only workers that decode need

    options = onnxruntime.SessionOptions()
    options.inter_op_num_threads = options.intra_op_num_threads = 1
    options.enable_cpu_mem_arena = False
    return onnxruntime.InferenceSession(_MODEL, options, providers=["CPUExecutionProvider"])


def spans_from_probabilities(
    probabilities: npt.NDArray[np.float32], duration_s: float, options: SpeechOptions
) -> tuple[Span, ...]:
    """Speech from one probability per frame, by hysteresis; no span ends beyond ``duration_s``."""
    changes = _find_changes(probabilities, options, is_speech=False).tolist()
    return _spans(changes, len(probabilities), duration_s, options)


def _find_changes(
    probabilities: npt.NDArray[np.float32], options: SpeechOptions, *, is_speech: bool
) -> npt.NDArray[np.intp]:
    """Frames with a rise over ``threshold`` or a fall under ``neg_threshold``, in turn.

    ``is_speech`` tells what was before the first frame.
    """
    sure = np.zeros(len(probabilities), dtype=np.int8)
    sure[probabilities >= options.threshold] = 1
    sure[probabilities < options.neg_threshold] = -1
    known = np.flatnonzero(sure)
    changes: npt.NDArray[np.intp] = known[np.diff(sure[known], prepend=np.int8(1 if is_speech else -1)) != 0]
    return changes


def _spans(changes: list[int], frame_count: int, duration_s: float, options: SpeechOptions) -> tuple[Span, ...]:
    frame_s = FRAME_SAMPLES / SAMPLE_RATE_HZ
    ends = [*changes[1::2], frame_count]  # the recording's end ends speech
    spans = _join_near(list(zip(changes[0::2], ends, strict=False)), options.min_silence_s / frame_s)
    padded = (
        Span(max(0.0, start * frame_s - options.pad_s), min(duration_s, end * frame_s + options.pad_s))
        for start, end in spans
        if (end - start) * frame_s >= options.min_speech_s
    )
    return tuple(_without_overlaps(list(padded)))


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
