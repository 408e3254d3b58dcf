"""What can be known of a wave before it is made. Shapes: F out_features, D in_features, R rows looked at."""

from __future__ import annotations

import math
from collections.abc import Mapping

import torch
from jaxtyping import Bool, Float
from torch import Tensor
from transformers import PreTrainedModel

from birdbone.compress.config import ImportanceConfig, WandaConfig
from birdbone.compress.importance import score_linear
from birdbone.compress.statistics import InputStatistics
from birdbone.models import Architecture

_ROW_STRIDE = 8
_FLOOR = 1e-12
_CHEAP = ("magnitude", "wanda", "ria")


@torch.no_grad()
def wave_features(
    model: PreTrainedModel,
    architecture: Architecture,
    *,
    masks: Mapping[str, Bool[Tensor, "F D"]],
    statistics: Mapping[str, InputStatistics],
    importance: ImportanceConfig,
    fraction: float,
    sensitivity: Mapping[int, float] | None = None,
    row_stride: int = _ROW_STRIDE,
) -> dict[str, float]:
    """Return what is known of a wave that will shed `fraction` of the survivors of every linear. Changes nothing.

    - log_fraction: the natural log of the fraction;
    - sparsity: the share of weights that is gone before it;
    - log_shed: the log of the mean share of a row's squared scores that goes with the fraction;
    - log_hurt: the same, each layer weighted by its sensitivity; left out where that is not known.

    Args:
        importance: what goes first. A metric that reads gradients or solves for the Hessian would cost as much as
            shedding itself: Wanda stands in for it.
        sensitivity: own damage of each layer after an earlier wave, any unit.
        row_stride: every so many rows of a linear are looked at; all of them would take as long as shedding.
    """
    metric = importance if importance.kind in _CHEAP else WandaConfig()
    shed = {path: _shed_share(model, path, masks, statistics, metric, fraction, row_stride) for path in masks}
    layer_of = {slot.path: layer.index for layer in architecture.layers for slot in layer.linears}
    num_alive = sum(int(mask_FD.sum()) for mask_FD in masks.values())
    features = {
        "log_fraction": math.log(fraction),
        "sparsity": 1 - num_alive / sum(mask_FD.numel() for mask_FD in masks.values()),
        "log_shed": math.log(sum(shed.values()) / len(shed) + _FLOOR),
    }
    if sensitivity:
        total = sum(sensitivity.get(layer_of[path], 0.0) for path in shed) or 1.0
        hurt = sum(share * sensitivity.get(layer_of[path], 0.0) for path, share in shed.items()) / total
        features["log_hurt"] = math.log(hurt + _FLOOR)
    return features


def shed_share(scores_RD: Float[Tensor, "R D"], mask_RD: Bool[Tensor, "R D"], *, fraction: float) -> float:
    """Return the mean share of a row's squared surviving scores that lies in its lowest `fraction` of survivors."""
    squares_RD = scores_RD.float().square()
    order_RD = squares_RD.masked_fill(~mask_RD, torch.inf).sort(dim=1).values
    num_shed_R = (mask_RD.sum(dim=1).double() * fraction).long()
    is_shed_RD = torch.arange(order_RD.shape[1], device=order_RD.device) < num_shed_R[:, None]
    gone_R = order_RD.masked_fill(~is_shed_RD, 0.0).sum(dim=1)
    return float((gone_R / (squares_RD * mask_RD).sum(dim=1).clamp_min(1e-30)).mean())


def _shed_share(
    model: PreTrainedModel,
    path: str,
    masks: Mapping[str, Tensor],
    statistics: Mapping[str, InputStatistics],
    importance: ImportanceConfig,
    fraction: float,
    row_stride: int,
) -> float:
    weight_RD = model.get_parameter(f"{path}.weight").detach()[::row_stride]
    scores_RD = score_linear(weight_RD, statistics[path], importance)
    return shed_share(scores_RD, masks[path][::row_stride], fraction=fraction)
