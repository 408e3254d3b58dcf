"""Everything that is to be known of a model's clusters, in one call: what the command and the notebooks use."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Int
from torch import Tensor
from transformers import PreTrainedModel

from birdbone.compress.clusters.clustering import find_clusters
from birdbone.compress.clusters.embedding import MAX_DRAWN, place_units
from birdbone.compress.clusters.features import Features, FeatureTable, find_components, read_features
from birdbone.compress.clusters.groups import Clustering, Places
from birdbone.compress.clusters.matching import Evolution, follow_clusters
from birdbone.compress.clusters.methods import MAX_COMPARED_UNITS
from birdbone.compress.config import AgglomerativeConfig, ClusterConfig, KMeansConfig, StabilityConfig
from birdbone.models import Architecture

MAX_DRAWN_PARTS = 4
"""Layers that are drawn: evenly chosen, the first and the last among them."""

Progress = Callable[[str, int, int], None]
"""Is told what is being done, how much of it is done, and how much there is."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ClusterSurvey:
    """A clustering, the figures behind it, places to draw, and the same units grouped by another method.

    Attributes:
        places: by layer; None is all layers together.
        other: the other method's name and how its clusters compare; None where it would compare too many units.
    """

    clustering: Clustering
    table: FeatureTable
    places: Mapping[int | None, Places]
    other: tuple[str, Evolution] | None


def survey_clusters(
    model: PreTrainedModel,
    architecture: Architecture,
    windows_NT: Int[Tensor, "N T"],
    *,
    class_V: Int[Tensor, " V"],
    config: ClusterConfig,
    seed: int,
    layers: Sequence[int] = (),
    progress: Progress = lambda _what, _done, _total: None,
) -> ClusterSurvey:
    """Return the clusters of a model's units and what pictures need.

    Args:
        windows_NT: calibration tokens. The model is left unchanged.
        class_V: class of each token of the vocabulary, from `classify_vocabulary`.
        layers: indices; all layers for none.

    Raises:
        UnknownLayerError, NoCalibrationDataError, NonFiniteStatisticsError: as `read_features` says.
        TooFewUnitsError, TooManyUnitsError: as `find_clusters` says.
    """
    features = read_features(
        model,
        architecture,
        windows_NT,
        units=config.units,
        config=config.features,
        class_V=class_V,
        seed=seed,
        layers=layers,
        progress=lambda done, total: progress("reading", done, total),
    )
    clustering = find_clusters(
        features, config, seed=seed, progress=lambda done, total: progress("grouping", done, total)
    )
    return ClusterSurvey(
        clustering=clustering,
        table=features.whole,
        places=_places(features.whole, clustering, config, seed, progress),
        other=_by_another_method(features, clustering, config, seed),
    )


def _places(
    table: FeatureTable, clustering: Clustering, config: ClusterConfig, seed: int, progress: Progress
) -> dict[int | None, Places]:
    chosen = np.unique(np.linspace(0, len(clustering.parts) - 1, MAX_DRAWN_PARTS).round().astype(int))
    found: dict[int | None, Places] = {}
    for number, place in enumerate(chosen.tolist(), start=1):
        layer = clustering.parts[place].layer
        is_here_N = np.full(len(table.layer_N), True) if layer is None else table.layer_N == layer
        points_NC = find_components(table.rows(is_here_N), config.features).points_NC
        max_drawn = MAX_DRAWN if len(chosen) == 1 else MAX_DRAWN // 2
        found[layer] = place_units(points_NC, seed=seed, max_drawn=max_drawn)
        progress("drawing", number, len(chosen))
    return found


def _by_another_method(
    features: Features, clustering: Clustering, config: ClusterConfig, seed: int
) -> tuple[str, Evolution] | None:
    """Group again by a method of another kind, and compare: what two methods find alike is less likely an accident."""
    if config.scope == "model" and len(clustering.label_N) > MAX_COMPARED_UNITS:
        return None
    method = AgglomerativeConfig() if isinstance(config.method, KMeansConfig) else KMeansConfig()
    quick = StabilityConfig(num_seeds=0, num_subsamples=0)
    other = find_clusters(features, config.model_copy(update={"method": method, "stability": quick}), seed=seed)
    return method.kind, follow_clusters(clustering, other)
