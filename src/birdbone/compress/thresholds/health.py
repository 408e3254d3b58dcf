"""How much load each cluster carries: what its share is decided from. Shapes: N and U units, F rows, D columns."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float
from numpy.typing import NDArray
from torch import Tensor

from birdbone.compress.clusters.features import FeatureTable
from birdbone.compress.clusters.groups import Clustering
from birdbone.compress.clusters.units import UnitPart, gather_in, num_units, unit_parts
from birdbone.models import Architecture


@dataclass(frozen=True, slots=True, kw_only=True)
class ClusterHealth:
    """Signs of load of one cluster; means over its units.

    Attributes:
        num_weights: weights that survive so far, those shared with other clusters by their share.
        importance: mean score of a surviving weight, over the mean of its linear.
        variance: logarithm of the variance over tokens, relative to the layer's power.
        density: how evenly the units are used over tokens, 0 to 1.
        shed_so_far: share of its weights that is gone.
        damage: what was measured of the damage that it took, larger is worse; None where that was not measured.
    """

    name: str
    layer: int | None
    num_units: int
    num_weights: float
    importance: float
    variance: float
    density: float
    shed_so_far: float
    damage: float | None


def cluster_health(
    clustering: Clustering,
    table: FeatureTable,
    architecture: Architecture,
    *,
    scores: Mapping[str, Float[Tensor, "F D"]],
    masks: Mapping[str, Bool[Tensor, "F D"]],
    damage_N: NDArray[np.float64] | None = None,
) -> tuple[ClusterHealth, ...]:
    """Return the health of each cluster, in their order.

    Args:
        table: figures of the units, in the order of the clustering's units.
        scores: by the linear's path, larger is more important. Of each linear only what is relative to its mean counts.
        masks: True where a weight survives so far, for every linear of the clustered units.
        damage_N: a figure a unit, such as the drift of its layer's output; larger is worse.
    """
    load = _unit_load(clustering, architecture, scores, masks)
    columns = {name: table.values_NK[:, table.names.index(name)] for name in ("log variance", "density")}
    found = []
    for number, cluster in enumerate(clustering.clusters):
        is_in_N = clustering.label_N == number
        alive, total, score = (float(values_N[is_in_N].sum()) for values_N in load)
        found.append(
            ClusterHealth(
                name=cluster.name,
                layer=cluster.layer,
                num_units=cluster.num_units,
                num_weights=alive,
                importance=score / max(alive, 1e-12),
                variance=float(columns["log variance"][is_in_N].mean()),
                density=float(columns["density"][is_in_N].mean()),
                shed_so_far=1 - alive / total,
                damage=None if damage_N is None else float(damage_N[is_in_N].mean()),
            )
        )
    return tuple(found)


def _unit_load(
    clustering: Clustering,
    architecture: Architecture,
    scores: Mapping[str, Tensor],
    masks: Mapping[str, Tensor],
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Return surviving weights, weights in all, and the sum of relative scores, of each unit of the clustering."""
    alive_N, total_N, score_N = (np.zeros(len(clustering.layer_N)) for _ in range(3))
    for index in sorted(set(clustering.layer_N.tolist())):
        layer = architecture.layers[index]
        count = num_units(layer, architecture, clustering.units)
        rows = clustering.layer_N == index
        own = clustering.index_N[rows]
        for part in unit_parts(layer, architecture, clustering.units):
            for target_N, value_U in zip(
                (alive_N, total_N, score_N), _part_load(part, count, scores, masks), strict=True
            ):
                target_N[rows] += value_U.numpy()[own]
    return alive_N, total_N, score_N


def _part_load(
    part: UnitPart, count: int, scores: Mapping[str, Tensor], masks: Mapping[str, Tensor]
) -> Sequence[Tensor]:
    mask_FD, score_FD = masks[part.path], scores[part.path].float()
    other = 1 if part.axis == "rows" else 0
    alive_FD = score_FD * mask_FD
    mean = alive_FD.sum(dtype=torch.float64) / mask_FD.sum().clamp_min(1)
    sums = (
        mask_FD.sum(dim=other),
        torch.full((mask_FD.shape[1 - other],), mask_FD.shape[other]),
        alive_FD.sum(dim=other, dtype=torch.float64) / mean.clamp_min(1e-300),
    )
    return [gather_in(value_E, part, num_owned=count, is_shared_out=True) for value_E in sums]
