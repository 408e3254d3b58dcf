"""The one interface of all importance metrics."""

from __future__ import annotations

from typing import assert_never

from jaxtyping import Float
from torch import Tensor

from birdbone.compress.config import (
    FisherConfig,
    GradientConfig,
    HessianConfig,
    ImportanceConfig,
    MagnitudeConfig,
    PrunerZeroConfig,
    RiaConfig,
    WandaConfig,
)
from birdbone.compress.errors import MissingGradientsError
from birdbone.compress.gradients import GradientStatistics
from birdbone.compress.importance.fisher import fisher_scores
from birdbone.compress.importance.gradient import gradient_scores
from birdbone.compress.importance.hessian import hessian_scores
from birdbone.compress.importance.magnitude import magnitude_scores
from birdbone.compress.importance.pruner_zero import pruner_zero_scores
from birdbone.compress.importance.ria import ria_scores
from birdbone.compress.importance.wanda import wanda_scores
from birdbone.compress.statistics import InputStatistics


def needs_gradients(config: ImportanceConfig) -> bool:
    """Return whether the metric reads gradients of the loss."""
    return isinstance(config, GradientConfig | FisherConfig | PrunerZeroConfig)


def readable_without_gradients(config: ImportanceConfig) -> ImportanceConfig:
    """Return the metric, or Wanda's where it reads gradients and none are there yet."""
    return WandaConfig() if needs_gradients(config) else config


def score_linear(
    w_FD: Float[Tensor, "F D"],
    statistics: InputStatistics,
    config: ImportanceConfig,
    *,
    gradients: GradientStatistics | None = None,
) -> Float[Tensor, "F D"]:
    """Return a score a weight, larger is more important, comparable within a row, by the metric that `config` names.

    Zero at least, and zero for a weight that is zero.

    Raises:
        MissingGradientsError: the metric reads gradients and `gradients` is None.
        SingularGramError: see `hessian_scores`.
    """
    match config:
        case WandaConfig():
            return wanda_scores(w_FD, statistics.mean_square_D)
        case MagnitudeConfig():
            return magnitude_scores(w_FD)
        case RiaConfig():
            return ria_scores(w_FD, statistics.mean_square_D, activation_power=config.activation_power)
        case HessianConfig():
            return hessian_scores(w_FD, statistics.gram_DD, damping=config.damping)
        case GradientConfig():
            return gradient_scores(w_FD, _required(gradients, config).mean_FD)
        case FisherConfig():
            return fisher_scores(w_FD, _required(gradients, config).mean_square_FD)
        case PrunerZeroConfig():
            return pruner_zero_scores(w_FD, _required(gradients, config).mean_square_FD)
        case _ as never:
            assert_never(never)


def _required(gradients: GradientStatistics | None, config: ImportanceConfig) -> GradientStatistics:
    if gradients is None:
        raise MissingGradientsError(f"The metric `{config.kind}` reads gradients; none were given.", metric=config.kind)
    return gradients
