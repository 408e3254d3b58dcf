"""The one interface of all importance metrics."""

from __future__ import annotations

from typing import assert_never

from jaxtyping import Float
from torch import Tensor

from birdbone.compress.config import ImportanceConfig
from birdbone.compress.importance.magnitude import magnitude_scores
from birdbone.compress.importance.wanda import wanda_scores
from birdbone.compress.statistics import InputStatistics


def score_linear(
    w_FD: Float[Tensor, "F D"], statistics: InputStatistics, config: ImportanceConfig
) -> Float[Tensor, "F D"]:
    """Return a score a weight, larger is more important, comparable within a row, by the metric that `config` names."""
    match config.kind:
        case "wanda":
            return wanda_scores(w_FD, statistics.mean_square_D)
        case "magnitude":
            return magnitude_scores(w_FD)
        case _:
            assert_never(config.kind)
