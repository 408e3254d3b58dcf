"""Whether clusters would come again: over seeds, over halves of the text, over subsamples of the units.

Agreement is the adjusted Rand index of two groupings of the same units: 1 is the same groups, 0 what chance gives.
Source: Hubert and Arabie 1985; subsamples as in Ben-Hur, Elisseeff and Guyon 2002. Shapes: N units, C components.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from sklearn.metrics import adjusted_rand_score  # type: ignore[import-untyped]

from birdbone.compress.clusters.groups import Agreement, Stability
from birdbone.compress.clusters.methods import Grouping, Method, group_units, with_count
from birdbone.compress.config import ClusterConfig


def measure_stability(
    points_NC: NDArray[np.float64],
    grouping: Grouping,
    config: ClusterConfig,
    *,
    half_points: tuple[NDArray[np.float64], NDArray[np.float64]],
    seed: int,
) -> Stability:
    """Return how stable a grouping is, at the number of clusters that it has.

    Args:
        half_points: components of the same units from either half of the text.
        seed: the one that the grouping was made with.
    """
    if grouping.quality.num_clusters < 2:
        return Stability(seeds=None, halves=None, subsamples=None)
    method = with_count(config.method, grouping.quality.num_clusters)
    first, second = (group_units(half_NC, method, seed=seed).label_N for half_NC in half_points)
    return Stability(
        seeds=_over_seeds(points_NC, grouping, method, num_seeds=config.stability.num_seeds, seed=seed),
        halves=float(adjusted_rand_score(first, second)),
        subsamples=_over_subsamples(points_NC, grouping, method, config=config, seed=seed),
    )


def _over_seeds(
    points_NC: NDArray[np.float64], grouping: Grouping, method: Method, *, num_seeds: int, seed: int
) -> Agreement | None:
    if num_seeds == 0 or method.kind != "kmeans":
        return None
    others = [group_units(points_NC, method, seed=seed + 1 + step).label_N for step in range(num_seeds)]
    labels = [grouping.label_N, *others]
    pairs = [(one, other) for place, one in enumerate(labels) for other in labels[:place]]
    return _agreement([float(adjusted_rand_score(one, other)) for one, other in pairs])


def _over_subsamples(
    points_NC: NDArray[np.float64], grouping: Grouping, method: Method, *, config: ClusterConfig, seed: int
) -> Agreement | None:
    size = round(config.stability.subsample_share * len(points_NC))
    if config.stability.num_subsamples == 0 or size <= grouping.quality.num_clusters:
        return None
    generator = np.random.default_rng(seed)
    found = []
    for _ in range(config.stability.num_subsamples):
        drawn = generator.choice(len(points_NC), size, replace=False)
        label_M = group_units(points_NC[drawn], method, seed=seed).label_N
        found.append(float(adjusted_rand_score(grouping.label_N[drawn], label_M)))
    return _agreement(found)


def _agreement(values: Sequence[float]) -> Agreement:
    low, high = np.quantile(values, [0.025, 0.975])
    return Agreement(
        mean=float(np.mean(values)), least=min(values), low=float(low), high=float(high), num_pairs=len(values)
    )
