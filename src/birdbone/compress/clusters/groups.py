"""What clusters are, as plain records: groups, their quality, how stable they are.

Shapes: N units, M units that are drawn.

Without scikit-learn, so that shedding by clusters that were found elsewhere needs none.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from birdbone.compress.config import UnitKind


@dataclass(frozen=True, slots=True, kw_only=True)
class Quality:
    """Figures of one grouping. What cannot be measured (under two clusters, or one for every unit) is None.

    Attributes:
        num_units: units in a cluster; those in none count for nothing here.
        silhouette: -1 to 1, larger is better: how much nearer a unit is to its own cluster than to the next.
        inertia: sum of squared distances to the cluster's mean, in squared lengths of the components.
        davies_bouldin: 0 or more, smaller is better: how wide clusters are over how far they are apart.
        calinski_harabasz: 0 or more, larger is better: variance between over variance within.
    """

    num_clusters: int
    num_units: int
    silhouette: float | None
    inertia: float
    davies_bouldin: float | None
    calinski_harabasz: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Agreement:
    """Adjusted Rand indices: their mean, the least, and the middle 95 % of them."""

    mean: float
    least: float
    low: float
    high: float
    num_pairs: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Stability:
    """How well groupings agree; what was not measured is None.

    Attributes:
        seeds: every pair of seeds. None too for a method without chance.
        halves: the groups from the first half of the text against those from the second.
        subsamples: the groups of a subsample against those of all, on the units of the subsample.
    """

    seeds: Agreement | None
    halves: float | None
    subsamples: Agreement | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Cluster:
    """A named group: `L3.n0` is the largest group of neurons in layer 3, `h1` the second of heads over all layers."""

    name: str
    layer: int | None
    num_units: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """How the units of one layer, or of all layers together, fell into groups.

    Attributes:
        layer: None where all layers were taken together.
        variance_kept: share of the features' variance that the clustered components hold.
        num_components: how many components those are.
        num_outside: units in no cluster.
        tried: quality at every number of clusters that was looked at.
    """

    layer: int | None
    num_components: int
    variance_kept: float
    num_outside: int
    quality: Quality
    tried: tuple[Quality, ...]
    stability: Stability


@dataclass(frozen=True, slots=True, kw_only=True)
class Clustering:
    """Which cluster each unit is in.

    Attributes:
        label_N: index into `clusters` of each unit.
        depths: labels from 0 within each part at every cut of the tree, by the number of clusters a part.
    """

    units: UnitKind
    method: str
    layer_N: NDArray[np.int64]
    index_N: NDArray[np.int64]
    label_N: NDArray[np.int64]
    clusters: tuple[Cluster, ...]
    parts: tuple[Part, ...]
    depths: Mapping[int, NDArray[np.int64]] = field(default_factory=dict, repr=False)

    def members(self, name: str) -> NDArray[np.bool_]:
        """Return which units are in a cluster.

        Raises:
            StopIteration: there is no such cluster.
        """
        number = next(number for number, cluster in enumerate(self.clusters) if cluster.name == name)
        is_member_N: NDArray[np.bool_] = self.label_N == number
        return is_member_N


@dataclass(frozen=True, slots=True, kw_only=True)
class Places:
    """Where some of the units are drawn.

    Attributes:
        drawn_M: which units.
        pca_M3: their first three principal components; a missing third is 0.
        tsne_M2: None for fewer than eight units.
    """

    drawn_M: NDArray[np.int64]
    pca_M3: NDArray[np.float64]
    tsne_M2: NDArray[np.float64] | None
