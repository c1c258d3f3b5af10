"""Speakers from made-up voices: Gaussian clouds around directions in the embeddings' 192 dimensions."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest

from erni.engines.clustering import MOST_POINTS, cluster_speakers

pytestmark = pytest.mark.filterwarnings(
    "ignore::SyntaxWarning", "ignore::DeprecationWarning", "ignore::FutureWarning", "ignore::ImportWarning"
)  # hdbscan, umap and scikit-learn warn about themselves at import


def voices(counts: list[int], spread: float = 0.06, seed: int = 0) -> tuple[npt.NDArray[np.float32], list[int]]:
    rng = np.random.default_rng(seed)
    centres = rng.standard_normal((len(counts), 192))
    centres /= np.linalg.norm(centres, axis=1, keepdims=True)
    labels = [speaker for speaker, count in enumerate(counts) for _ in range(count)]
    rng.shuffle(labels)
    points = centres[labels] + spread * rng.standard_normal((len(labels), 192))
    return points.astype(np.float32), labels


def purity(found: npt.NDArray[np.int64], truth: list[int]) -> float:
    best = [np.bincount(np.asarray(truth)[found == label]).max() for label in np.unique(found)]
    return float(sum(best) / len(truth))


@pytest.mark.parametrize("counts", [[60, 60], [80, 50, 40], [40, 40, 40, 40, 40]])
def test_the_number_of_voices_is_found(counts: list[int]) -> None:
    points, truth = voices(counts)
    found = cluster_speakers(points)
    assert len(np.unique(found)) == len(counts)
    assert purity(found, truth) == 1.0


@pytest.mark.parametrize("exact", [1, 2, 3, 5, 7])
@pytest.mark.parametrize("windows", [7, 9, 30, 150])
def test_an_exact_count_is_honoured_whatever_the_voices(exact: int, windows: int) -> None:
    points, _ = voices([windows - windows // 3, windows // 3])
    assert len(np.unique(cluster_speakers(points, exact=exact))) == exact


def test_too_few_windows_for_the_count_give_one_speaker_each() -> None:
    points, _ = voices([2, 1])
    assert sorted(cluster_speakers(points, exact=5)) == [0, 1, 2]


@pytest.mark.parametrize(("least", "most"), [(4, None), (None, 2), (4, 6), (2, 2), (None, 1), (3, 3)])
def test_bounds_are_kept(least: int | None, most: int | None) -> None:
    points, _ = voices([60, 60, 60])
    found = len(np.unique(cluster_speakers(points, least=least, most=most)))
    assert (least or 1) <= found <= (most or 99)


def test_few_windows_are_one_speaker_unless_told_otherwise() -> None:
    points, _ = voices([3, 3])
    assert len(np.unique(cluster_speakers(points))) == 1


def test_long_recordings_are_summed_up_without_mixing_voices() -> None:
    points, truth = voices([MOST_POINTS, MOST_POINTS // 2, MOST_POINTS // 2])
    found = cluster_speakers(points)
    assert len(np.unique(found)) == 3
    assert purity(found, truth) > 0.99
