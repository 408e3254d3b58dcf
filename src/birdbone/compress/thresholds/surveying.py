"""From a model and text to the ground that thresholds are decided on: statistics, features, clusters, health."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch
from jaxtyping import Bool, Int
from torch import Tensor
from transformers import PreTrainedModel

from birdbone.compress.clusters.clustering import find_clusters
from birdbone.compress.clusters.features import read_features
from birdbone.compress.config import ClusterConfig, ImportanceConfig
from birdbone.compress.statistics import InputStatistics, collect_statistics
from birdbone.compress.thresholds.ground import Ground, prepare_ground
from birdbone.models import Architecture


def survey_ground(
    model: PreTrainedModel,
    architecture: Architecture,
    windows_NT: Int[Tensor, "N T"],
    *,
    class_V: Int[Tensor, " V"],
    config: ClusterConfig,
    seed: int,
    statistics: Mapping[str, InputStatistics] | None = None,
    masks: Mapping[str, Bool[Tensor, "F D"]] | None = None,
    importance: ImportanceConfig | None = None,
    progress: Callable[[int, int], None] = lambda _done, _total: None,
) -> Ground:
    """Return the ground of a model's thresholds, clusters found on the same text. The model is left unchanged.

    Args:
        windows_NT: calibration tokens, at least two windows.
        class_V: class of each token of the vocabulary, from `classify_vocabulary`.
        statistics: of the same text, where they were collected already.
        masks: what survives so far; everything unless given.

    Raises:
        CompressError: of the text, of what the model makes of it, or of the clusters.
    """
    known = statistics or collect_statistics(model, architecture, windows_NT)
    features = read_features(
        model,
        architecture,
        windows_NT,
        units=config.units,
        config=config.features,
        class_V=class_V,
        seed=seed,
        progress=progress,
    )
    clustering = find_clusters(features, config, seed=seed, progress=progress)
    return prepare_ground(
        model,
        architecture,
        [(clustering, features.whole)],
        statistics=known,
        masks=masks or _everything(model, architecture),
        importance=importance,
    )


def _everything(model: PreTrainedModel, architecture: Architecture) -> dict[str, Tensor]:
    paths = architecture.linear_paths
    return {path: torch.ones_like(model.get_parameter(f"{path}.weight"), dtype=torch.bool) for path in paths}
