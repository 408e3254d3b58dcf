"""Scores of a whole model by several metrics, linear by linear, from one streamed pass over text.

Shapes: N windows, T tokens, F out_features, D in_features.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor
from transformers import PreTrainedModel

from birdbone.compress.config import FIRST_TOKEN_SHARE, ImportanceConfig
from birdbone.compress.errors import NonFiniteScoreError
from birdbone.compress.gradients import GradientStatistics, backward_blocks, recording_block_inputs
from birdbone.compress.importance.score import needs_gradients, score_linear
from birdbone.compress.statistics import InputStatistics, collect_statistics
from birdbone.models import Architecture, LayerLayout, LinearSlot

Told = Callable[[str, int, int], None]
"""Is told which part of the work is on, how much of it is done, of how much."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LinearScores:
    """The scores of one linear's weights by each metric."""

    layer: int
    slot: LinearSlot
    scores: Mapping[str, Float[Tensor, "F D"]]
    """By the name of the metric; larger is more important."""


def score_model(
    model: PreTrainedModel,
    architecture: Architecture,
    windows_NT: Int[Tensor, "N T"],
    *,
    metrics: Mapping[str, ImportanceConfig],
    batch_size: int = 4,
    first_token_share: float | None = FIRST_TOKEN_SHARE,
    told: Told = lambda _part, _done, _total: None,
) -> Iterator[LinearScores]:
    """Yield the scores of every linear by every metric; only one block's gradients and scores are in memory.

    Metrics that read activations need the plain pass only, and come from the first block to the last. With one that
    reads gradients, the same pass is sent back through the blocks, and they come from the last to the first.

    Args:
        windows_NT: calibration tokens. The model runs on them as it is and is left unchanged.
        metrics: by the name that its scores are to have.
        first_token_share: see `collect_statistics`; gradients are taken of every token as it comes.

    Raises:
        NoCalibrationDataError, NonFiniteStatisticsError, SilentInputError: see `collect_statistics`.
        SingularGramError, NonFiniteScoreError: what a metric makes of a linear.
    """
    is_sent_back = any(needs_gradients(config) for config in metrics.values())
    with recording_block_inputs(model, architecture) if is_sent_back else contextlib.nullcontext() as inputs:
        statistics = collect_statistics(
            model,
            architecture,
            windows_NT,
            batch_size=batch_size,
            first_token_share=first_token_share,
            progress=lambda done, total: told("activations", done, total),
        )
    if inputs is None:
        for layer in architecture.layers:
            yield from _score_layer(model, layer, statistics, {}, metrics)
            told("scores", layer.index + 1, architecture.num_layers)
        return
    blocks = backward_blocks(model, architecture, windows_NT, inputs)
    for number, (layer, gradients) in enumerate(zip(reversed(architecture.layers), blocks, strict=True), start=1):
        yield from _score_layer(model, layer, statistics, gradients, metrics)
        told("gradients and scores", number, architecture.num_layers)


@torch.no_grad()
def _score_layer(
    model: PreTrainedModel,
    layer: LayerLayout,
    statistics: Mapping[str, InputStatistics],
    gradients: Mapping[str, GradientStatistics],
    metrics: Mapping[str, ImportanceConfig],
) -> Iterator[LinearScores]:
    for slot in layer.linears:
        weight_FD = model.get_parameter(f"{slot.path}.weight").float()
        scores = {
            name: score_linear(weight_FD, statistics[slot.path], config, gradients=gradients.get(slot.path))
            for name, config in metrics.items()
        }
        for name, scores_FD in scores.items():
            _require_finite(scores_FD, slot.path, name)
        yield LinearScores(layer=layer.index, slot=slot, scores=scores)


def _require_finite(scores_FD: Tensor, path: str, metric: str) -> None:
    if not bool(scores_FD.isfinite().all()):
        raise NonFiniteScoreError(f"The {metric} scores of {path} are not finite.", layer=path, metric=metric)
