"""Grouping points: k-means, HDBSCAN, and a tree of merges that is cut. Shapes: N units, C components."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import assert_never

import numpy as np
from numpy.typing import NDArray
from scipy.cluster.hierarchy import fcluster, linkage  # type: ignore[import-untyped]
from sklearn.cluster import HDBSCAN, KMeans  # type: ignore[import-untyped]

from birdbone.compress.clusters.groups import Quality
from birdbone.compress.clusters.quality import measure_quality
from birdbone.compress.config import AgglomerativeConfig, HdbscanConfig, KMeansConfig
from birdbone.compress.errors import TooFewUnitsError, TooManyUnitsError

MAX_COMPARED_UNITS = 20_000
"""The tree needs a distance for each pair: 1.6 GB at so many units. HDBSCAN takes minutes there."""

Labels = NDArray[np.int64]
Method = KMeansConfig | HdbscanConfig | AgglomerativeConfig


@dataclass(frozen=True, slots=True, kw_only=True)
class Grouping:
    """A label for each unit, from 0 with the largest group first; -1 is in none.

    Attributes:
        quality: of the labels.
        tried: of every number of clusters that was looked at, the chosen one among them.
        depths: labels at each cut of the tree, by the number of clusters; empty without a tree.
    """

    label_N: Labels
    quality: Quality
    tried: tuple[Quality, ...]
    depths: Mapping[int, Labels] = field(default_factory=dict)


def group_units(points_NC: NDArray[np.float64], method: Method, *, seed: int) -> Grouping:
    """Return the groups that a method finds; the same points, settings and seed give the same.

    Raises:
        TooFewUnitsError: not more units than clusters, or than HDBSCAN needs for one.
        TooManyUnitsError: more than `MAX_COMPARED_UNITS` for a method that compares each with each.
    """
    _require_units(len(points_NC), method)
    match method.kind:
        case "kmeans":
            return _best_of(points_NC, method, lambda count: _kmeans(points_NC, count, method.num_starts, seed), seed)
        case "agglomerative":
            tree = linkage(points_NC, method="ward")
            found = _best_of(points_NC, method, lambda count: _cut(tree, count), seed)
            depths = {count: _cut(tree, count) for count in sorted(set(method.depths)) if count < len(points_NC)}
            return Grouping(label_N=found.label_N, quality=found.quality, tried=found.tried, depths=depths)
        case "hdbscan":
            label_N = _ordered(_hdbscan(points_NC, method))
            quality = measure_quality(points_NC, label_N, seed=seed)
            return Grouping(label_N=label_N, quality=quality, tried=(quality,))
        case _:
            assert_never(method.kind)


def with_count(method: Method, num_clusters: int) -> Method:
    """Return the settings that give so many clusters again, without a search; HDBSCAN finds its own number."""
    if isinstance(method, HdbscanConfig):
        return method
    return method.model_copy(update={"num_clusters": num_clusters})


def _require_units(num_units: int, method: Method) -> None:
    needed = method.min_cluster_size if isinstance(method, HdbscanConfig) else (method.num_clusters or 2) + 1
    if num_units < needed:
        message = f"{num_units} units are too few for {method.kind} here; at least {needed} are needed."
        raise TooFewUnitsError(message, num_units=num_units, needed=needed)
    if not isinstance(method, KMeansConfig) and num_units > MAX_COMPARED_UNITS:
        message = f"{method.kind} compares each unit with each; {num_units:,} are more than {MAX_COMPARED_UNITS:,}."
        raise TooManyUnitsError(message, num_units=num_units, limit=MAX_COMPARED_UNITS)


def _best_of(
    points_NC: NDArray[np.float64],
    method: KMeansConfig | AgglomerativeConfig,
    group: Callable[[int], Labels],
    seed: int,
) -> Grouping:
    """Return the groups of the number that was asked for, or of the best silhouette; the fewest of equals."""
    found = {count: group(count) for count in _counts(method, len(points_NC))}
    tried = {count: measure_quality(points_NC, label_N, seed=seed) for count, label_N in found.items()}
    best = max(tried, key=lambda count: (_or_least(tried[count].silhouette), -count))
    return Grouping(label_N=found[best], quality=tried[best], tried=tuple(tried.values()))


def _counts(method: KMeansConfig | AgglomerativeConfig, num_units: int) -> list[int]:
    if method.num_clusters is not None:
        return [method.num_clusters]
    wanted = range(2, method.max_clusters + 1) if isinstance(method, KMeansConfig) else sorted(set(method.depths))
    return [count for count in wanted if 2 <= count < num_units] or [2]


def _or_least(value: float | None) -> float:
    return -2.0 if value is None else value


def _kmeans(points_NC: NDArray[np.float64], count: int, num_starts: int, seed: int) -> Labels:
    found = KMeans(n_clusters=count, n_init=num_starts, random_state=seed).fit_predict(points_NC)
    return _ordered(np.asarray(found, dtype=np.int64))


def _cut(tree: NDArray[np.float64], count: int) -> Labels:
    return _ordered(fcluster(tree, t=count, criterion="maxclust").astype(np.int64) - 1)


def _hdbscan(points_NC: NDArray[np.float64], method: HdbscanConfig) -> Labels:
    found = HDBSCAN(min_cluster_size=method.min_cluster_size, min_samples=method.min_samples, copy=True)
    return np.asarray(found.fit_predict(points_NC), dtype=np.int64)


def _ordered(label_N: Labels) -> Labels:
    """Return the same groups numbered from the largest; of equals the one with the first unit comes first."""
    labels, first, sizes = np.unique(label_N[label_N >= 0], return_index=True, return_counts=True)
    order = np.lexsort((first, -sizes))
    number = {int(labels[place]): new for new, place in enumerate(order)}
    return np.array([number.get(int(label), -1) for label in label_N], dtype=np.int64)
