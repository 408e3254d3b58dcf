"""How well groups are parted, on the points that they were made from. Shapes: N units, C components."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from sklearn.metrics import (  # type: ignore[import-untyped]
    calinski_harabasz_score,
    davies_bouldin_score,
    silhouette_score,
)

from birdbone.compress.clusters.groups import Quality

MAX_SILHOUETTE_UNITS = 2000
"""The silhouette compares each unit with each: of more, so many are drawn."""


def measure_quality(points_NC: NDArray[np.float64], label_N: NDArray[np.int64], *, seed: int) -> Quality:
    """Return the figures of a grouping; units of label -1 are in no cluster.

    Args:
        seed: of the units that the silhouette is taken on, where there are more than `MAX_SILHOUETTE_UNITS`.
    Source: Rousseeuw 1987 (silhouette), Davies and Bouldin 1979, Caliński and Harabasz 1974, as in scikit-learn.
    """
    is_in_N = label_N >= 0
    points_NC, label_N = points_NC[is_in_N], label_N[is_in_N]
    num_clusters = len(np.unique(label_N))
    can_compare = 2 <= num_clusters < len(label_N)
    return Quality(
        num_clusters=num_clusters,
        num_units=len(label_N),
        silhouette=_silhouette(points_NC, label_N, seed) if can_compare else None,
        inertia=_inertia(points_NC, label_N),
        davies_bouldin=float(davies_bouldin_score(points_NC, label_N)) if can_compare else None,
        calinski_harabasz=_finite(calinski_harabasz_score(points_NC, label_N)) if can_compare else None,
    )


def _silhouette(points_NC: NDArray[np.float64], label_N: NDArray[np.int64], seed: int) -> float | None:
    if len(label_N) > MAX_SILHOUETTE_UNITS:
        drawn = np.random.default_rng(seed).choice(len(label_N), MAX_SILHOUETTE_UNITS, replace=False)
        points_NC, label_N = points_NC[drawn], label_N[drawn]
    if not 2 <= len(np.unique(label_N)) < len(label_N):
        return None
    return float(silhouette_score(points_NC, label_N))


def _inertia(points_NC: NDArray[np.float64], label_N: NDArray[np.int64]) -> float:
    members = (points_NC[label_N == label] for label in np.unique(label_N))
    return float(sum(np.square(own_MC - own_MC.mean(axis=0)).sum() for own_MC in members))


def _finite(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None
