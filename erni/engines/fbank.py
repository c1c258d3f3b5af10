"""Log mel filter banks as Kaldi computes them: what speaker embedding networks hear. Knows nothing of networks.

The recipe is Kaldi's ``compute-fbank-feats`` (``feat/feature-window.cc``, ``feat/mel-computations.cc``) with the
settings CAM++ was trained with: 25 ms frames every 10 ms, no dither, 80 bins from 20 Hz up, and samples scaled to
[-1, 1]. Frames that several windows share are computed once by whoever calls this for the whole stretch.
"""

from __future__ import annotations

import functools
from typing import Final

import numpy as np
import numpy.typing as npt

from erni.model import SAMPLE_RATE_HZ

FRAME_SAMPLES: Final = 400
SHIFT_SAMPLES: Final = 160
MEL_BINS: Final = 80
LOWEST_HZ: Final = 20.0
PRE_EMPHASIS: Final = 0.97
TRANSFORM_SAMPLES: Final = 512
"""The frame's length rounded up to a power of two, the rest zeros."""
FRAMES_AT_ONCE: Final = 256
"""What is worked on stays in the cache: measured, 2,048 take three times as long."""

Floats = npt.NDArray[np.float32]


def compute_fbank(samples: Floats) -> Floats:
    """Features, frames × ``MEL_BINS``, of samples at 16 kHz; a frame begins every ``SHIFT_SAMPLES``.

    Only whole frames count; samples too few for one are padded with zeros to one.
    """
    missing = FRAME_SAMPLES - len(samples)
    padded = np.pad(samples, (0, missing)) if missing > 0 else samples
    frames = np.lib.stride_tricks.sliding_window_view(padded, FRAME_SAMPLES)[::SHIFT_SAMPLES]
    features = np.empty((len(frames), MEL_BINS), np.float32)
    for first in range(0, len(frames), FRAMES_AT_ONCE):
        part = slice(first, first + FRAMES_AT_ONCE)
        features[part] = _log_mel(frames[part])
    return features


def _log_mel(frames: Floats) -> Floats:
    centred = frames - frames.mean(axis=1, keepdims=True)
    # The sample before the first one is taken to equal it, as Kaldi does.
    previous = np.concatenate([centred[:, :1], centred[:, :-1]], axis=1)
    windowed = (centred - np.float32(PRE_EMPHASIS) * previous) * _povey_window()
    spectrum = np.fft.rfft(windowed, n=TRANSFORM_SAMPLES, axis=1)
    power = spectrum.real**2 + spectrum.imag**2
    energies = power[:, :-1] @ _mel_weights()
    return np.log(np.maximum(energies, np.finfo(np.float32).eps))


@functools.cache
def _povey_window() -> Floats:
    """Kaldi's own window: a Hann window to the power of 0.85."""
    return (np.hanning(FRAME_SAMPLES) ** 0.85).astype(np.float32)


@functools.cache
def _mel_weights() -> Floats:
    """Triangles on the mel scale, transform bins × mel bins, without the bin at half the sample rate."""
    edges = np.linspace(_mel(LOWEST_HZ), _mel(SAMPLE_RATE_HZ / 2), MEL_BINS + 2)
    mels = _mel(np.arange(TRANSFORM_SAMPLES // 2) * (SAMPLE_RATE_HZ / TRANSFORM_SAMPLES))[:, None]
    rising = (mels - edges[:-2]) / (edges[1:-1] - edges[:-2])
    falling = (edges[2:] - mels) / (edges[2:] - edges[1:-1])
    return np.maximum(0.0, np.minimum(rising, falling)).astype(np.float32)


def _mel(hz: npt.ArrayLike) -> npt.NDArray[np.float64]:
    return 1127.0 * np.log1p(np.asarray(hz, np.float64) / 700.0)
