"""How neurons and heads are described, grouped into clusters, and how sure one is of the groups."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from birdbone.core import Settings

UnitKind = Literal["neurons", "heads"]
"""What is clustered: neurons of the feed-forward parts, or heads of attention."""

FeatureBlock = Literal["function", "structure", "coactivation"]
"""What a unit is described by: its activations on text, its weights, or what it fires together with."""

ClusterScope = Literal["layer", "model"]
"""Whether each layer has clusters of its own, or one set of clusters runs over all layers."""


class FeatureConfig(Settings):
    """What a unit is described by."""

    blocks: tuple[FeatureBlock, ...] = Field(default=("function", "structure", "coactivation"), min_length=1)
    """Each block that is named weighs the same, however many features it has."""
    num_directions: int = Field(default=24, ge=2, le=1024)
    """Dimensions to which the direction of each kind of weight vector is projected."""
    num_buckets: int = Field(default=256, ge=8, le=65_536)
    """Width of the sketch of what a unit does on each token; co-activation is exact on up to so many tokens."""
    num_components: int = Field(default=16, ge=2, le=256)
    """Principal components that are clustered, at most."""
    variance_kept: float = Field(default=0.9, gt=0, le=1)
    """Share of the variance at which no further component is taken."""


class KMeansConfig(Settings):
    """Clusters of like size around their means."""

    kind: Literal["kmeans"] = "kmeans"
    num_clusters: int | None = Field(default=None, ge=2, le=256)
    """How many; the number with the best silhouette unless given."""
    max_clusters: int = Field(default=8, ge=2, le=256)
    """The most that are tried when it is not given."""
    num_starts: int = Field(default=4, ge=1, le=100)
    """Starts of which the best is kept."""


class HdbscanConfig(Settings):
    """Dense regions of any shape; units in none of them are a group of their own."""

    kind: Literal["hdbscan"] = "hdbscan"
    min_cluster_size: int = Field(default=8, ge=2, le=100_000)
    """Fewer units are no cluster."""
    min_samples: int = Field(default=4, ge=1, le=100_000)
    """How many near neighbours make a unit's place dense."""


class AgglomerativeConfig(Settings):
    """A tree of merges by Ward's rule, cut at several depths."""

    kind: Literal["agglomerative"] = "agglomerative"
    num_clusters: int | None = Field(default=None, ge=2, le=256)
    """The cut that is used; the one with the best silhouette unless given."""
    depths: tuple[int, ...] = Field(default=(2, 3, 4, 6, 8), min_length=1)
    """Numbers of clusters at which the tree is cut beside; each cut divides clusters of the one above it."""


ClusterMethod = Annotated[KMeansConfig | HdbscanConfig | AgglomerativeConfig, Field(discriminator="kind")]
"""How units are grouped."""


class StabilityConfig(Settings):
    """How it is found out whether the clusters would come again."""

    num_seeds: int = Field(default=3, ge=0, le=50)
    """Further seeds that the clusters are compared over; 0 leaves it out."""
    num_subsamples: int = Field(default=8, ge=0, le=200)
    """Subsamples of the units that are clustered anew; 0 leaves it out."""
    subsample_share: float = Field(default=0.8, gt=0, lt=1)
    """Share of the units in a subsample."""


class ClusterConfig(Settings):
    """Clusters of neurons or heads."""

    units: UnitKind = "neurons"
    """What is clustered."""
    scope: ClusterScope = "layer"
    """Whether each layer has its own clusters."""
    features: FeatureConfig = FeatureConfig()
    """What a unit is described by."""
    method: ClusterMethod = KMeansConfig()
    """How units are grouped."""
    stability: StabilityConfig = StabilityConfig()
    """How sure one is of them."""
