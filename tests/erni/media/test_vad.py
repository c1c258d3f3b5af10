from __future__ import annotations

import tracemalloc

import numpy as np
import numpy.typing as npt
import pytest
from faster_whisper.vad import get_vad_model
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from erni.media.vad import SpeechDetector, SpeechOptions, spans_from_probabilities
from erni.model import Span

FRAME_S = 0.032
EXACT = SpeechOptions(threshold=0.5, neg_threshold=0.35, min_speech_s=0.06, min_silence_s=0.1, pad_s=0.0)


VOWELS_HZ = ((730, 1090, 2440), (270, 2290, 3010), (300, 870, 2240), (530, 1840, 2480), (570, 840, 2410))


def voice(seconds: float, seed: int = 1) -> npt.NDArray[np.float64]:
    """Glottal pulses through the formants of vowels, a syllable at a time: no words, yet a voice to the
    model."""
    rng = np.random.default_rng(seed)
    sound = rng.normal(0, 20, int(seconds * 16_000))
    at = 0
    while at < sound.size:
        length = min(int(rng.uniform(0.12, 0.28) * 16_000), sound.size - at)
        pitch_hz = rng.normal(120, 9) + np.linspace(8, -8, length)
        pulses = np.diff(np.floor(np.cumsum(pitch_hz) / 16_000), prepend=0.0)
        sound[at : at + length] += 5000 * vowel(pulses, VOWELS_HZ[rng.integers(len(VOWELS_HZ))])
        at += length + int(rng.uniform(0, 0.05) * 16_000)
    return sound


def vowel(pulses: npt.NDArray[np.float64], formants_hz: tuple[int, ...]) -> npt.NDArray[np.float64]:
    time_s = np.arange(400) / 16_000
    ringing = sum(
        gain * np.exp(-np.pi * width_hz * time_s) * np.sin(2 * np.pi * hz * time_s)
        for hz, width_hz, gain in zip(formants_hz, (60, 90, 150), (1, 0.6, 0.3), strict=True)
    )
    swell = np.sqrt(np.sin(np.pi * np.linspace(0, 1, pulses.size)))
    return np.convolve(pulses, ringing)[: pulses.size] * swell


@pytest.fixture(scope="module")
def recording() -> npt.NDArray[np.int16]:
    """Noise, and two voices from 5 to 12 s and from 30 to 47 s."""
    samples = np.random.default_rng(2).normal(0, 20, 60 * 16_000)
    samples[5 * 16_000 : 12 * 16_000] += voice(7)
    samples[30 * 16_000 : 47 * 16_000] += voice(17, seed=3)
    return samples.clip(-32_768, 32_767).astype(np.int16)


def detect(samples: npt.NDArray[np.int16], block: int) -> tuple[Span, ...]:
    detector = SpeechDetector()
    for start in range(0, samples.size, block):
        detector.feed(samples[start : start + block])
    return detector.finish()


def test_speech_is_found_where_it_is(recording: npt.NDArray[np.int16]) -> None:
    spans = detect(recording, 16_000)
    inside = sum(span.overlap_s(Span(5, 12)) + span.overlap_s(Span(30, 47)) for span in spans)
    outside = sum(span.duration_s for span in spans) - inside
    assert inside > 0.8 * 24
    assert outside < 1.0


@pytest.mark.parametrize("block", [1_000, 16_384, 160_000, 10_000_000])
def test_the_size_of_blocks_changes_nothing(recording: npt.NDArray[np.int16], block: int) -> None:
    assert detect(recording, block) == detect(recording, 77_777)


def test_the_model_says_what_silero_says(recording: npt.NDArray[np.int16]) -> None:
    samples = recording[: recording.size // 512 * 512].astype(np.float32) / 32_768
    theirs = get_vad_model().session
    ours = SpeechDetector()._session  # the file it is loaded from is what the test is about
    frames = np.lib.stride_tricks.sliding_window_view(np.concatenate([np.zeros(64, np.float32), samples]), 576)[::512]
    state = np.zeros((1, 1, 128), dtype=np.float32)
    given = {"input": np.ascontiguousarray(frames), "h": state, "c": state}
    for expected, found in zip(theirs.run(None, given), ours.run(None, given), strict=True):
        np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-4)


def test_windows_give_what_the_whole_file_gives(recording: npt.NDArray[np.int16]) -> None:
    options = SpeechOptions()
    whole = get_vad_model()(recording.astype(np.float32) / 32_768).reshape(-1)
    assert detect(recording, 16_000) == spans_from_probabilities(whole, recording.size / 16_000, options)


def test_silence_noise_and_nothing_hold_no_speech() -> None:
    assert SpeechDetector().finish() == ()
    assert detect(np.zeros(16_000 * 30, dtype=np.int16), 16_000) == ()
    assert detect(np.random.default_rng(1).normal(0, 300, 16_000 * 30).astype(np.int16), 16_000) == ()
    assert detect(np.zeros(1, dtype=np.int16), 1) == ()


def test_speech_up_to_the_last_sample_ends_with_the_recording() -> None:
    samples = voice(7.3333).astype(np.int16)
    spans = detect(samples, 16_000)
    assert spans[-1].end_s == pytest.approx(samples.size / 16_000, abs=0.3)
    assert spans[-1].end_s <= samples.size / 16_000


def probabilities(*runs: tuple[float, int]) -> npt.NDArray[np.float32]:
    return np.concatenate([np.full(frames, value, dtype=np.float32) for value, frames in runs])


def spans_in_frames(spans: tuple[Span, ...]) -> list[tuple[int, int]]:
    return [(round(span.start_s / FRAME_S), round(span.end_s / FRAME_S)) for span in spans]


@pytest.mark.parametrize(
    ("runs", "expected"),
    [
        ([(0.0, 10), (0.9, 10), (0.0, 10)], [(10, 20)]),
        ([(0.9, 10)], [(0, 10)]),
        ([(0.4, 10), (0.9, 5), (0.4, 10), (0.1, 10)], [(10, 25)]),  # between the thresholds, speech goes on
        ([(0.9, 10), (0.0, 3), (0.9, 10)], [(0, 23)]),  # 96 ms of silence are none
        ([(0.9, 10), (0.0, 4), (0.9, 10)], [(0, 10), (14, 24)]),  # 128 ms are
        ([(0.0, 10), (0.9, 1), (0.0, 10)], []),  # 32 ms are no speech
        ([(0.0, 10), (0.9, 2), (0.0, 10)], [(10, 12)]),
        ([(0.0, 10)], []),
        ([], []),
    ],
)
def test_probabilities_become_spans_by_hysteresis(
    runs: list[tuple[float, int]], expected: list[tuple[int, int]]
) -> None:
    values = probabilities(*runs) if runs else np.zeros(0, dtype=np.float32)
    assert spans_in_frames(spans_from_probabilities(values, values.size * FRAME_S, EXACT)) == expected


def test_padding_stays_within_the_recording_and_off_the_neighbour() -> None:
    options = SpeechOptions(0.5, 0.35, min_speech_s=0.06, min_silence_s=0.1, pad_s=0.1)
    spans = spans_from_probabilities(probabilities((0.9, 10), (0.0, 4), (0.9, 10)), 24 * FRAME_S, options)
    assert [(span.start_s, span.end_s) for span in spans] == [
        (0.0, pytest.approx(12 * FRAME_S)),
        (pytest.approx(12 * FRAME_S), 24 * FRAME_S),
    ]


@given(arrays(np.float32, st.integers(0, 300), elements=st.floats(0, 1, width=32)))
def test_spans_are_sorted_disjoint_and_hold_every_sure_frame(values: npt.NDArray[np.float32]) -> None:
    options = SpeechOptions(0.5, 0.35, min_speech_s=0.0, min_silence_s=0.1, pad_s=0.06)
    duration_s = values.size * FRAME_S
    spans = spans_from_probabilities(values, duration_s, options)
    borders = [border for span in spans for border in (span.start_s, span.end_s)]
    assert borders == sorted(borders)
    assert all(span.duration_s > 0 and span.start_s >= 0 and span.end_s <= duration_s for span in spans)
    for frame in np.flatnonzero(values >= 0.5):
        middle_s = (frame + 0.5) * FRAME_S
        assert any(span.start_s <= middle_s <= span.end_s for span in spans)


def test_memory_does_not_grow_with_silence() -> None:
    detector = SpeechDetector()
    minute = np.zeros(60 * 16_000, dtype=np.int16)
    detector.feed(minute)
    tracemalloc.start()
    try:
        for _ in range(5):
            detector.feed(minute)
        kept_bytes, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert kept_bytes < 20_000
    assert detector.finish() == ()
