"""What all trials of one search share: the clusters, their health, the scores; and the masks of any thresholds."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from numpy.typing import NDArray
from torch import Tensor
from transformers import PreTrainedModel

from birdbone.compress.clusters.features import FeatureTable
from birdbone.compress.clusters.groups import Clustering
from birdbone.compress.config import ImportanceConfig, ThresholdConfig, WandaConfig
from birdbone.compress.importance import score_linear
from birdbone.compress.statistics import InputStatistics
from birdbone.compress.thresholds.decision import Decision, decide_fractions
from birdbone.compress.thresholds.fractions import cluster_fractions, shed_clusters
from birdbone.compress.thresholds.health import ClusterHealth, cluster_health
from birdbone.compress.thresholds.objective import pruned, running_losses
from birdbone.compress.thresholds.shares import ColumnFractions, Fractions, places_of
from birdbone.models import Architecture

Masks = dict[str, Bool[Tensor, "F D"]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Ground:
    """A model's clusters with their health, and what its weights are shed by.

    Attributes:
        clusterings: of neurons, of heads, or of both.
        health: of the clusters of each clustering.
        scores: of every linear, larger is more important.
        masks: what survives so far.
        places: in which order the weights of every linear go, so that no trial has to sort them again.
    """

    architecture: Architecture
    clusterings: tuple[Clustering, ...]
    health: tuple[tuple[ClusterHealth, ...], ...]
    scores: Mapping[str, Float[Tensor, "F D"]]
    masks: Mapping[str, Bool[Tensor, "F D"]]
    places: Mapping[str, Int[Tensor, "F D"]]


@torch.no_grad()
def prepare_ground(
    model: PreTrainedModel,
    architecture: Architecture,
    clustered: Sequence[tuple[Clustering, FeatureTable]],
    *,
    statistics: Mapping[str, InputStatistics],
    masks: Mapping[str, Bool[Tensor, "F D"]],
    importance: ImportanceConfig | None = None,
) -> Ground:
    """Return what thresholds of this model are decided from. The model is left unchanged.

    Args:
        statistics: from `collect_statistics` on calibration text.
        masks: what survives so far, of every linear that is to shed.
        importance: what goes first; Wanda's score unless given.
    """
    config = importance or WandaConfig()
    scores = {
        path: score_linear(model.get_parameter(f"{path}.weight").detach(), statistics[path], config) for path in masks
    }
    return Ground(
        architecture=architecture,
        clusterings=tuple(clustering for clustering, _ in clustered),
        health=tuple(
            cluster_health(clustering, table, architecture, scores=scores, masks=masks)
            for clustering, table in clustered
        ),
        scores=scores,
        masks=masks,
        places=_places(architecture, [clustering for clustering, _ in clustered], scores, masks),
    )


def decide(ground: Ground, config: ThresholdConfig, *, target: float) -> tuple[tuple[Decision, ...], ...]:
    """Return what is decided for the clusters of each clustering.

    Raises:
        TargetOutOfReachError, UnknownClusterError: as `decide_fractions` says.
    """
    names = [{cluster.name for cluster in health} for health in ground.health]
    known = set[str]().union(*names)
    found = []
    for own, health in zip(names, ground.health, strict=True):
        # A name that no clustering has is left in, so that it is refused.
        overrides = {name: share for name, share in config.overrides.items() if name in own or name not in known}
        found.append(decide_fractions(health, config.model_copy(update={"overrides": overrides}), target=target))
    return tuple(found)


def fractions_of(ground: Ground, decisions: Sequence[Sequence[Decision]]) -> dict[str, Fractions]:
    """Return what was decided as shares of rows and columns: what a wave sheds by."""
    shares = [[decision.fraction for decision in group] for group in decisions]
    return cluster_fractions(list(zip(ground.clusterings, shares, strict=True)), ground.architecture)


def masks_of(ground: Ground, config: ThresholdConfig, *, target: float) -> Masks:
    """Return the masks after each cluster shed its share, which come to `target` in all but for rounding.

    Raises:
        TargetOutOfReachError, UnknownClusterError: as `decide_fractions` says.
    """
    fractions = fractions_of(ground, decide(ground, config, target=target))
    return shed_clusters(ground.scores, ground.masks, fractions, target=target, places=ground.places)


def loss_of(
    model: PreTrainedModel, ground: Ground, windows_NT: NDArray[np.int64], *, batch_size: int = 2
) -> Callable[[ThresholdConfig, float], Iterator[tuple[int, float]]]:
    """Return what `tune_thresholds` asks: the running loss of the model pruned by given settings.

    Between two trials the model is as it was.
    """

    def losses(config: ThresholdConfig, target: float) -> Iterator[tuple[int, float]]:
        with pruned(model, masks_of(ground, config, target=target)):
            yield from running_losses(model, windows_NT, batch_size=batch_size)

    return losses


def share_shed(masks: Mapping[str, Bool[Tensor, "F D"]]) -> float:
    """Return the share of all weights that the masks drop, counted."""
    total = sum(mask_FD.numel() for mask_FD in masks.values())
    return 1 - sum(int(mask_FD.sum()) for mask_FD in masks.values()) / total


def _places(
    architecture: Architecture,
    clusterings: Sequence[Clustering],
    scores: Mapping[str, Tensor],
    masks: Mapping[str, Tensor],
) -> dict[str, Tensor]:
    """Return places within the clusters of these clusterings, whatever their shares will be."""
    found, none = {}, [(clustering, [0.0] * len(clustering.clusters)) for clustering in clusterings]
    for path, fractions in cluster_fractions(none, architecture).items():
        cluster_D = fractions.cluster_D if isinstance(fractions, ColumnFractions) else None
        found[path] = places_of(scores[path], masks[path], cluster_D)
    return found
