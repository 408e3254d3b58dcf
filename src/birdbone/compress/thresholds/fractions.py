"""Shares of clusters as shares of rows and columns: what shedding takes. Shapes: U units, F rows, D columns."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from birdbone.compress.clusters.groups import Clustering
from birdbone.compress.clusters.units import UnitPart, num_units, share_out, unit_parts
from birdbone.compress.shedding import shed_lowest
from birdbone.compress.thresholds.shares import ColumnFractions, Fractions, RowFractions, shed_by_fractions
from birdbone.models import Architecture

Clustered = Sequence[tuple[Clustering, Sequence[float]]]
"""Clusterings, of neurons or of heads or of both, each with the share that each of its clusters sheds."""


def cluster_fractions(clustered: Clustered, architecture: Architecture) -> dict[str, Fractions]:
    """Return the share of each row, or of each cluster of columns, of every linear whose units are clustered.

    A row that several units share (k and v of a group of heads) sheds the mean of their shares. Linears of layers that
    are in no clustering are absent: they shed the target.

    Args:
        clustered: shares stand in the order of the clustering's clusters.
    """
    found: dict[str, Fractions] = {}
    for clustering, shares in clustered:
        fraction_G = torch.tensor(shares, dtype=torch.float64)
        for index in sorted(set(clustering.layer_N.tolist())):
            found |= _layer_fractions(clustering, fraction_G, architecture, index)
    return found


def shed_clusters(
    scores: Mapping[str, Float[Tensor, "F D"]],
    masks: Mapping[str, Bool[Tensor, "F D"]],
    fractions: Mapping[str, Fractions],
    *,
    target: float,
    places: Mapping[str, Int[Tensor, "F D"]] | None = None,
) -> dict[str, Bool[Tensor, "F D"]]:
    """Return the masks after every linear shed its shares; a linear without any sheds `target` from each row.

    Args:
        places: from `shares.places_of`, of linears where they are known.
    """
    known = places or {}
    return {
        path: shed_by_fractions(scores[path], mask_FD, fractions[path], place_FD=known.get(path))
        if path in fractions
        else shed_lowest(scores[path], mask_FD, fraction=target)
        for path, mask_FD in masks.items()
    }


def _layer_fractions(
    clustering: Clustering, fraction_G: Tensor, architecture: Architecture, index: int
) -> dict[str, Fractions]:
    layer, is_here_N = architecture.layers[index], clustering.layer_N == index
    label_U = torch.zeros(num_units(layer, architecture, clustering.units), dtype=torch.long)
    label_U[torch.from_numpy(clustering.index_N[is_here_N])] = torch.from_numpy(
        clustering.label_N[is_here_N].astype(np.int64)
    )
    parts = unit_parts(layer, architecture, clustering.units)
    sizes = {slot.path: (slot.out_features, slot.in_features) for slot in layer.linears}
    found: dict[str, Fractions] = {}
    for part in parts:
        num_rows, num_columns = sizes[part.path]
        if part.axis == "columns":
            found[part.path] = _columns(part, label_U, fraction_G, num_columns)
        elif part.path not in found:
            rows_F = share_out(fraction_G[label_U], parts, path=part.path, num_entries=num_rows)
            found[part.path] = RowFractions(fraction_F=rows_F)
    return found


def _columns(part: UnitPart, label_U: Tensor, fraction_G: Tensor, num_columns: int) -> ColumnFractions:
    """Number the clusters of this layer's columns anew, so that none is empty."""
    label_D = torch.empty(num_columns, dtype=torch.long)
    label_D[part.entry_M] = label_U[part.unit_M]
    labels, cluster_D = torch.unique(label_D, return_inverse=True)
    return ColumnFractions(fraction_G=fraction_G[labels], cluster_D=cluster_D)
