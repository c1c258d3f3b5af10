"""Filter banks against what senko 0.2.2's own extractor answers for the same chirp, and against themselves."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest

from erni.engines.fbank import FRAME_SAMPLES, FRAMES_AT_ONCE, MEL_BINS, SHIFT_SAMPLES, compute_fbank

EXPECTED = {
    0: [7.0811, -0.6088, -1.1106, -3.3249, -4.1444, -4.9757, -4.7292, -0.525],
    50: [-2.3055, -0.4499, -1.2983, 2.9568, 8.2214, -3.0704, -4.7292, -0.525],
    147: [-1.3418, -0.4602, -1.088, -3.3249, -4.1444, -3.8091, 3.614, 3.8605],
}
"""Every tenth bin of three frames, less the mean over all frames."""


def chirp(samples: int = 24_000) -> npt.NDArray[np.float32]:
    at_s = np.arange(samples) / 16_000
    sweep = 0.3 * np.sin(2 * np.pi * (100 * at_s + 1500 * at_s**2)) + 0.1 * np.sin(2 * np.pi * 440 * at_s)
    return sweep.astype(np.float32)


@pytest.mark.parametrize("frame", sorted(EXPECTED))
def test_features_are_those_of_the_extractor_the_network_came_with(frame: int) -> None:
    features = compute_fbank(chirp())
    assert features.shape == (148, MEL_BINS)
    np.testing.assert_allclose((features - features.mean(axis=0))[frame, ::10], EXPECTED[frame], atol=1e-3)


@pytest.mark.parametrize(
    ("samples", "frames"), [(0, 1), (1, 1), (399, 1), (400, 1), (559, 1), (560, 2), (719, 2), (720, 3), (24_000, 148)]
)
def test_only_whole_frames_count_but_there_is_always_one(samples: int, frames: int) -> None:
    features = compute_fbank(chirp(samples))
    assert features.shape == (frames, MEL_BINS)
    assert features.dtype == np.float32


def test_a_frame_is_the_same_within_any_stretch() -> None:
    samples = chirp(SHIFT_SAMPLES * (FRAMES_AT_ONCE + 40))
    whole = compute_fbank(samples)
    for first in (1, FRAMES_AT_ONCE - 1, FRAMES_AT_ONCE + 3):
        part = samples[first * SHIFT_SAMPLES :][: FRAME_SAMPLES + 3 * SHIFT_SAMPLES]
        np.testing.assert_allclose(compute_fbank(part), whole[first : first + 4], atol=1e-4)


def test_silence_is_finite_and_louder_sound_is_more() -> None:
    silence, quiet, loud = (
        compute_fbank(np.zeros(4000, np.float32)),
        compute_fbank(0.1 * chirp()),
        compute_fbank(chirp()),
    )
    np.testing.assert_allclose(silence, np.log(np.finfo(np.float32).eps))
    assert loud.mean() > quiet.mean() > silence.mean()
