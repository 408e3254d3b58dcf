"""Tables and clusterings made by hand, small enough to count in."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from birdbone.compress.clusters.features import FeatureTable
from birdbone.compress.clusters.groups import Cluster, Clustering


def blobs(seed: int, *, sizes: Sequence[int] = (30, 20, 10), apart: float = 10.0) -> NDArray[np.float64]:
    """Points in as many heaps as there are sizes, one after another."""
    draw = np.random.default_rng(seed)
    middles = draw.standard_normal((len(sizes), 4))
    middles *= apart * np.arange(1, len(sizes) + 1)[:, None] / np.linalg.norm(middles, axis=1, keepdims=True)
    return np.concatenate(
        [middle + draw.standard_normal((size, 4)) for middle, size in zip(middles, sizes, strict=True)]
    )


def clustering(labels: Sequence[int], *, layer: int | None = 0, units: Sequence[int] | None = None) -> Clustering:
    label_N = np.array(labels, dtype=np.int64)
    return Clustering(
        units="neurons",
        method="kmeans",
        layer_N=np.full(len(labels), layer or 0),
        index_N=np.array(units if units is not None else range(len(labels)), dtype=np.int64),
        label_N=label_N,
        clusters=tuple(
            Cluster(name=f"n{number}", layer=layer, num_units=int((label_N == number).sum()))
            for number in range(max(labels) + 1)
        ),
        parts=(),
    )


def table(
    values: NDArray[np.float64], coactivation: NDArray[np.float64] | None = None, *, num_tokens: int = 8
) -> FeatureTable:
    count = len(values)
    return FeatureTable(
        units="neurons",
        layer_N=np.zeros(count, dtype=np.int64),
        index_N=np.arange(count),
        names=tuple(f"figure {number}" for number in range(values.shape[1])),
        values_NK=values,
        blocks={"function": values},
        coactivation_NP=np.zeros((count, 4)) if coactivation is None else coactivation,
        num_tokens=num_tokens,
    )
