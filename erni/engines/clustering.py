"""Voice embeddings into speakers, honouring a speaker count where one is asked for.

Spectral clustering on a pruned cosine affinity with the eigengap choosing the number of speakers, as in
3D-Speaker's diarization recipe (Alibaba DAMO, ``speakerlab/process/cluster.py``); the implementation is the one
senko ships. Long recordings are first summed up in at most ``MOST_POINTS`` groups of like windows, because the
eigenvalue problem grows with the cube of their number.
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np
import numpy.typing as npt

Embeddings = npt.NDArray[np.float32]
Labels = npt.NDArray[np.int64]

MOST_POINTS: Final = 2000
FEWEST_FOR_SPECTRAL: Final = 10
"""Below this many windows the affinity graph says nothing; all are taken for one speaker unless told otherwise."""
SAME_VOICE_COSINE: Final = 0.875
SMALLEST_CLUSTER: Final = 4
KEPT_NEIGHBOURS: Final = 0.012
"""Share of each window's affinities kept by pruning (``pval``), and below it ..."""
MOST_SPEAKERS: Final = 15
"""... the most speakers looked for when no count is given; both from senko's ``spectral.yaml``."""


def cluster_speakers(
    embeddings: Embeddings, *, exact: int | None = None, least: int | None = None, most: int | None = None
) -> Labels:
    """One label (0, 1, …) per row of ``embeddings`` (windows × dimensions).

    ``exact`` wins over the bounds. With fewer windows than speakers asked for, every window is its own speaker.
    """
    count = len(embeddings)
    least, most = exact or least or 1, exact or most or max(MOST_SPEAKERS, least or 1)
    if count <= least:
        return np.arange(count, dtype=np.int64)
    if count < FEWEST_FOR_SPECTRAL or most == 1:
        return _agglomerate(embeddings, least)
    from threadpoolctl import threadpool_limits

    # One thread: beside busy transcribers, waiting for each other costs BLAS threads more than they save.
    with threadpool_limits(limits=1):
        points, group_of = _summarise(embeddings)
        labels = _spectral(points, least, most)
        found = len(np.unique(labels))
        if not least <= found <= most:
            labels = _agglomerate(points, least if found < least else most)
    return labels[group_of]


def _summarise(embeddings: Embeddings) -> tuple[Embeddings, Labels]:
    """Group like windows so that at most MOST_POINTS remain; returns the group means and each window's group."""
    if len(embeddings) <= MOST_POINTS:
        return embeddings, np.arange(len(embeddings), dtype=np.int64)
    from sklearn.cluster import MiniBatchKMeans

    directions = embeddings / np.linalg.norm(embeddings, axis=1, keepdims=True)
    grouping = MiniBatchKMeans(n_clusters=MOST_POINTS, random_state=0, n_init=1, batch_size=4096)
    groups = grouping.fit_predict(directions)
    used, group_of = np.unique(groups, return_inverse=True)
    means = np.stack([directions[groups == group].mean(axis=0) for group in used])
    return means.astype(np.float32), group_of.astype(np.int64)


def _spectral(points: Embeddings, least: int, most: int) -> Labels:
    from senko.cluster.cluster_cpu import CommonClustering

    is_bounded = least > 1 or most < MOST_SPEAKERS
    arguments: dict[str, Any] = {
        "min_num_spks": least,
        "max_num_spks": min(most, len(points) - 1),
        "pval": KEPT_NEIGHBOURS,
        "oracle_num": least if least == most else None,
        # Merging and filtering would break a promise about the count, so they only run without one.
        "min_cluster_size": 1 if is_bounded else SMALLEST_CLUSTER,
        "mer_cos": None if is_bounded else SAME_VOICE_COSINE,
    }
    return np.asarray(CommonClustering(cluster_type="spectral", **arguments)(points), dtype=np.int64)


def _agglomerate(points: Embeddings, count: int) -> Labels:
    from sklearn.cluster import AgglomerativeClustering

    if count == 1:
        return np.zeros(len(points), dtype=np.int64)
    clustering = AgglomerativeClustering(n_clusters=count, metric="cosine", linkage="average")
    return np.asarray(clustering.fit_predict(points), dtype=np.int64)
