"""Clusters of a model's units, layer by layer or over all layers. Shapes: N units."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from birdbone.compress.clusters.features import Features, FeatureTable, find_components
from birdbone.compress.clusters.groups import Cluster, Clustering, Part
from birdbone.compress.clusters.methods import Grouping, group_units
from birdbone.compress.clusters.stability import measure_stability
from birdbone.compress.config import ClusterConfig, UnitKind

NO_CLUSTER = "-"
"""What stands for the number in the name of the units of a layer that are in no cluster."""


def find_clusters(
    features: Features,
    config: ClusterConfig,
    *,
    seed: int,
    progress: Callable[[int, int], None] = lambda _done, _total: None,
) -> Clustering:
    """Return the clusters of all units in the features' table.

    Args:
        seed: of the starts, of the subsamples and of the units that a silhouette is taken on.
        progress: called with parts done and parts in all.

    Raises:
        TooFewUnitsError, TooManyUnitsError: as `group_units` says, of one part.
    """
    whole, found = features.whole, []
    layers: Sequence[int | None] = sorted(set(whole.layer_N.tolist())) if config.scope == "layer" else [None]
    for number, layer in enumerate(layers, start=1):
        is_chosen_N = np.full(len(whole.layer_N), True) if layer is None else whole.layer_N == layer
        halves = (features.halves[0].rows(is_chosen_N), features.halves[1].rows(is_chosen_N))
        found.append((is_chosen_N, *_find_part(layer, whole.rows(is_chosen_N), halves, config, seed)))
        progress(number, len(layers))
    return _join(whole, config, found)


def _find_part(
    layer: int | None,
    table: FeatureTable,
    halves: tuple[FeatureTable, FeatureTable],
    config: ClusterConfig,
    seed: int,
) -> tuple[Part, Grouping]:
    components = find_components(table, config.features)
    grouping = group_units(components.points_NC, config.method, seed=seed)
    half_points = (
        find_components(halves[0], config.features).points_NC,
        find_components(halves[1], config.features).points_NC,
    )
    part = Part(
        layer=layer,
        num_components=components.points_NC.shape[1],
        variance_kept=float(components.variance_share_C.sum()),
        num_outside=int((grouping.label_N < 0).sum()),
        quality=grouping.quality,
        tried=grouping.tried,
        stability=measure_stability(components.points_NC, grouping, config, half_points=half_points, seed=seed),
    )
    return part, grouping


def _join(
    table: FeatureTable, config: ClusterConfig, found: Sequence[tuple[NDArray[np.bool_], Part, Grouping]]
) -> Clustering:
    label_N, clusters = np.empty(len(table.layer_N), dtype=np.int64), list[Cluster]()
    for is_chosen_N, part, grouping in found:
        numbers = sorted(set(grouping.label_N.tolist()), key=lambda number: (number < 0, number))
        places = {number: len(clusters) + place for place, number in enumerate(numbers)}
        label_N[is_chosen_N] = [places[number] for number in grouping.label_N.tolist()]
        clusters += [_cluster(part.layer, config.units, number, grouping) for number in numbers]
    depths = {}
    for count in found[0][2].depths:
        if all(count in grouping.depths for _, _, grouping in found):
            depths[count] = np.empty_like(label_N)
            for is_chosen_N, _, grouping in found:
                depths[count][is_chosen_N] = grouping.depths[count]
    return Clustering(
        units=config.units,
        method=config.method.kind,
        layer_N=table.layer_N,
        index_N=table.index_N,
        label_N=label_N,
        clusters=tuple(clusters),
        parts=tuple(part for _, part, _ in found),
        depths=depths,
    )


def _cluster(layer: int | None, units: UnitKind, number: int, grouping: Grouping) -> Cluster:
    place = "" if layer is None else f"L{layer}."
    word = NO_CLUSTER if number < 0 else str(number)
    size = int((grouping.label_N == number).sum())
    return Cluster(name=f"{place}{units[0]}{word}", layer=layer, num_units=size)
