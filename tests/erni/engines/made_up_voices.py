"""Made-up sound whose samples say who speaks, and a voice model that hears it as CAM++ hears speech: the embedding of a
window is the mixture of the voices in it, with noise.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import numpy as np
import numpy.typing as npt

from erni.engines.campplus import EMBEDDING_SIZE
from erni.engines.clustering import cluster_speakers
from erni.engines.hearing import hear_voices
from erni.engines.resegmenting import resegment
from erni.engines.voice_model import WINDOW_S
from erni.model import SAMPLE_RATE_HZ, Span, Turn
from erni.spans import unite_spans
from erni.turns import label_turns
from erni.voices import Changes, Embeddings, Voices

SPREAD = 0.05
"""Noise in each dimension of a window of 1.5 s: two of one voice are then as alike as real ones (cosine near 0.68).
What windows share of their time they share of half of its noise, so neighbours are more alike; short ones are noisier.
"""
DOMINANCE = 3
"""Of two voices in a window the longer one is heard more than its share."""
STEP_S = 0.1
"""Noise is drawn anew this often."""
SHARED = 0.7
"""What all voices have in common: two of them are then as alike as real ones (cosine near 0.33)."""


def directions(count: int) -> Embeddings:
    rng = np.random.default_rng(7)
    voices, common = rng.standard_normal((count, EMBEDDING_SIZE)), rng.standard_normal(EMBEDDING_SIZE)
    voices /= np.linalg.norm(voices, axis=1, keepdims=True)
    voices += SHARED * common / np.linalg.norm(common)
    return np.asarray(voices / np.linalg.norm(voices, axis=1, keepdims=True), np.float32)


class MixingModel:
    """Samples are 0 in silence and 1, 2, … where the first, second … voice speaks."""

    def __init__(self, speakers: int) -> None:
        self._directions = directions(speakers)

    def embed(
        self, samples: npt.NDArray[np.float32], offset_s: float, windows: Sequence[tuple[float, float]]
    ) -> Embeddings:
        embeddings = np.zeros((len(windows), EMBEDDING_SIZE), np.float32)
        for row, (start_s, end_s) in enumerate(windows):
            first, behind = (round((at_s - offset_s) * SAMPLE_RATE_HZ) for at_s in (start_s, end_s))
            heard = samples[max(first, 0) : behind].astype(np.int64)
            shares = np.bincount(heard, minlength=len(self._directions) + 1)[1:].astype(np.float64) ** DOMINANCE
            embeddings[row] = shares / max(shares.sum(), 1.0) @ self._directions + _noise(start_s, end_s)
        return embeddings


def _noise(start_s: float, end_s: float) -> npt.NDArray[np.float64]:
    """Half of it is the window's own."""
    first, behind = round(start_s / STEP_S), max(round(end_s / STEP_S), round(start_s / STEP_S) + 1)
    drawn = [np.random.default_rng(step).standard_normal(EMBEDDING_SIZE) for step in range(first, behind)]
    own = np.random.default_rng([first, behind]).standard_normal(EMBEDDING_SIZE) / np.sqrt(behind - first)
    return np.asarray(SPREAD * np.sqrt(WINDOW_S / STEP_S / 2) * (np.mean(drawn, axis=0) + own))


def record(turns: Sequence[tuple[float, float, int]]) -> tuple[npt.NDArray[np.float32], list[Span]]:
    """The samples of turns (start, end, voice from 0), and where somebody speaks."""
    samples = np.zeros(round(max(end_s for _, end_s, _ in turns) * SAMPLE_RATE_HZ), np.float32)
    for start_s, end_s, voice in turns:
        samples[round(start_s * SAMPLE_RATE_HZ) : round(end_s * SAMPLE_RATE_HZ)] = voice + 1
    return samples, unite_spans(Span(start_s, end_s) for start_s, end_s, _ in turns)


def hear(turns: Sequence[tuple[float, float, int]]) -> Voices:
    samples, speech = record(turns)
    windows, embeddings, changes = hear_voices(MixingModel(1 + max(turn[2] for turn in turns)), samples, 0.0, speech)
    return Voices("made up", "mixing", windows, embeddings, changes=changes)


def plain_turns(voices: Voices) -> tuple[Turn, ...]:
    return label_turns(voices.windows, cluster_speakers(voices.embeddings))


def resegmented(voices: Voices, labels: npt.NDArray[np.int64] | None = None, *, least: int = 1) -> tuple[Turn, ...]:
    assert voices.changes is not None
    if labels is None:
        labels = cluster_speakers(voices.embeddings)
    return label_turns(*resegment(voices.windows, voices.embeddings, labels, voices.changes, least=least))


def changes_at(turns: Sequence[Turn]) -> list[float]:
    """When one speaker hands over to another."""
    return [(turn.end_s + following.start_s) / 2 for turn, following in pairwise(turns)]


NO_CHANGES = Changes(np.zeros((0, 2)), np.zeros((0, 2)), np.zeros((0, EMBEDDING_SIZE), np.float32))
