"""One wave of the bird-bone cycle on a model in memory: shed, refit, heal; and regrow after a spike.

A wave changes the model that it is given and returns the new masks. Undoing is not done here: the caller keeps the
state before it. Whether a wave was good is decided by `stop_loss.py`, a pure function of perplexities.
Shapes: F out_features, D in_features, N windows, T tokens.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch
from jaxtyping import Bool, Int
from torch import Tensor
from transformers import PreTrainedModel

from birdbone.compress.config import RegrowConfig, WavesConfig
from birdbone.compress.errors import SharesMissingError
from birdbone.compress.gradients import GradientStatistics
from birdbone.compress.healing import HealReport, heal_model
from birdbone.compress.importance import score_linear
from birdbone.compress.refit import refit_survivors
from birdbone.compress.regrowth import choose_regrowth, loss_gradients
from birdbone.compress.shedding import shed_lowest
from birdbone.compress.statistics import InputStatistics
from birdbone.compress.thresholds.shares import Fractions, shed_by_fractions
from birdbone.models import Architecture
from birdbone.watch import MetricSink

Masks = dict[str, Bool[Tensor, "F D"]]
Progress = Callable[[int, int], None]


def full_masks(model: PreTrainedModel, architecture: Architecture) -> Masks:
    """Return masks that keep every weight of every prunable linear."""
    paths = architecture.linear_paths
    return {path: torch.ones_like(model.get_parameter(f"{path}.weight"), dtype=torch.bool) for path in paths}


@torch.no_grad()
def shed_wave(
    model: PreTrainedModel,
    *,
    masks: Masks,
    statistics: Mapping[str, InputStatistics],
    config: WavesConfig,
    gradients: Mapping[str, GradientStatistics] | None = None,
    fractions: Mapping[str, Fractions] | None = None,
    progress: Progress = lambda _done, _total: None,
) -> Masks:
    """Shed the least important weights of every linear, let the rest take over its output; return the new masks.

    Changes the weights of `model`. The refit imitates the linear as it was before this wave, not the dense one: the
    dense one would undo what earlier waves healed.

    Args:
        gradients: by path, of `model` as it is; needed where the metric reads them.
        fractions: the shares of clusters, from `thresholds.cluster_fractions`; a linear without sheds
            `config.shed.fraction` of each row.

    Raises:
        MissingGradientsError: the metric reads gradients and there are none; `model` is unchanged.
        SharesMissingError: the settings ask for clusters, and there are no fractions.
    """
    if config.shed.cluster == "biophase" and fractions is None:
        raise SharesMissingError("The wave is to shed by clusters (`shed.cluster: biophase`), but has no shares.")
    shed = {}
    for number, (path, mask_FD) in enumerate(masks.items(), start=1):
        weight_FD = model.get_parameter(f"{path}.weight")
        found = None if gradients is None else gradients[path]
        scores_FD = score_linear(weight_FD, statistics[path], config.importance, gradients=found)
        shed[path] = _shed(scores_FD, mask_FD, (fractions or {}).get(path), fraction=config.shed.fraction)
        _refit(weight_FD, weight_FD.clone(), mask_FD=shed[path], statistics=statistics[path], config=config)
        progress(number, len(masks))
    return shed


def regrow_wave(
    model: PreTrainedModel,
    dense: PreTrainedModel,
    *,
    masks: Masks,
    statistics: Mapping[str, InputStatistics],
    windows_NT: Int[Tensor, "N T"],
    config: WavesConfig,
) -> Masks:
    """Bring back the shed weights that the loss asks for most, with refitted values; return the new masks.

    Changes the weights of `model`.
    """
    gradients = loss_gradients(model, windows_NT, list(masks))
    grown = {path: _grow(gradients[path], mask_FD, config.regrow) for path, mask_FD in masks.items()}
    for path, mask_FD in grown.items():
        target_FD = dense.get_parameter(f"{path}.weight")
        weight_FD = model.get_parameter(f"{path}.weight")
        _refit(weight_FD, target_FD, mask_FD=mask_FD, statistics=statistics[path], config=config)
    return grown


def heal_wave(
    model: PreTrainedModel,
    dense: PreTrainedModel,
    architecture: Architecture,
    *,
    masks: Masks,
    windows_NT: Int[Tensor, "N T"],
    config: WavesConfig,
    progress: Progress = lambda _done, _total: None,
    sink: MetricSink | None = None,
) -> HealReport | None:
    """Heal in place as the settings say and return the report; None where they leave healing out."""
    if config.heal.num_steps == 0:
        return None
    return heal_model(
        model,
        dense,
        architecture,
        windows_NT=windows_NT,
        masks=masks,
        config=config.heal,
        progress=progress,
        sink=sink,
    )


def draw_windows(windows_NT: Int[Tensor, "N T"], *, count: int, wave: int, seed: int) -> Int[Tensor, "M T"]:
    """Return `count` windows for a wave (all of them if there are fewer): a pure function of the wave and the seed."""
    order = torch.randperm(len(windows_NT), generator=torch.Generator().manual_seed(seed * 100_003 + wave))
    return windows_NT[order[:count]]


def _shed(scores_FD: Tensor, mask_FD: Tensor, fractions: Fractions | None, *, fraction: float) -> Tensor:
    if fractions is None:
        return shed_lowest(scores_FD, mask_FD, fraction=fraction)
    return shed_by_fractions(scores_FD, mask_FD, fractions)


def _grow(gradient_FD: Tensor, mask_FD: Tensor, config: RegrowConfig) -> Tensor:
    return choose_regrowth(gradient_FD, mask_FD, fraction=config.fraction)


@torch.no_grad()
def _refit(
    weight_FD: Tensor,
    target_FD: Tensor,
    *,
    mask_FD: Tensor,
    statistics: InputStatistics,
    config: WavesConfig,
) -> None:
    refitted_FD = refit_survivors(
        target_FD,
        mask_FD,
        statistics.gram_DD,
        num_iterations=config.refit.num_iterations,
        damping=config.refit.damping,
        start_FD=weight_FD,
    )
    weight_FD.copy_(refitted_FD)
