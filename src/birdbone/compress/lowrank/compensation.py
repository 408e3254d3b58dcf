"""Thin factors beside a rounded weight that take back what rounding did to the output (EoRA).

Shapes: F out_features, D in_features, R rank.

The factors of a linear are a LoRA adapter with scale 1: `right_RD` is its A and `left_FR` its B. In a GGUF adapter file
they stay beside the codes; merged into them they would be rounded away.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from jaxtyping import Float
from torch import Tensor
from transformers import PreTrainedModel

from birdbone.compress.config import FactorConfig
from birdbone.compress.lowrank.factors import Factors, weighted_svd
from birdbone.compress.statistics import InputStatistics
from birdbone.models.gguf import RoundedTensor


def compensate(
    w_FD: Float[Tensor, "F D"],
    stored_FD: Float[Tensor, "F D"],
    gram_DD: Float[Tensor, "D D"],
    *,
    rank: int,
    config: FactorConfig | None = None,
    sensitivity_F: Float[Tensor, " F"] | None = None,
) -> Factors:
    """Return the factors of a rank that bring the output of `stored_FD` nearest to that of `w_FD`.

    Args:
        w_FD: the weight before rounding. Not changed.
        stored_FD: what its codes stand for.
        gram_DD: mean of x xᵀ over calibration tokens.
        config: the metric; whitened unless told otherwise. Its rank settings are not used.
        sensitivity_F: E[g²] of each output, for the metric `fisher`.

    Raises:
        RankError: there is no such rank.
        SingularGramError: the damped Gram matrix is not positive definite.
    Source: Liu et al. 2024 (EoRA), arXiv:2410.21271, eq. 3 to 6. Symbols: ΔW = the residual, Q' = the whitening.
    Differs: whitened by a Cholesky factor of the damped Gram matrix, not by its eigenvectors; the product is the same.
    """
    return weighted_svd(
        w_FD.float() - stored_FD, gram_DD, config=config or FactorConfig(), sensitivity_F=sensitivity_F
    ).cut(rank)


def compensate_model(
    model: PreTrainedModel,
    statistics: Mapping[str, InputStatistics],
    quantized: Mapping[str, RoundedTensor],
    *,
    rank: int,
    progress: Callable[[int, int], None] = lambda _done, _total: None,
) -> dict[str, Factors]:
    """Return the factors of every rounded linear, by its path.

    Args:
        model: holding the weights before rounding. Not changed.
        statistics: of each linear's inputs, by its path.
        quantized: by the weight's name; what has no statistics, such as an embedding, is left out.
        rank: of each; a linear with a smaller side gets that.
    """
    paths = [name.removesuffix(".weight") for name in quantized if name.removesuffix(".weight") in statistics]
    found = {}
    for number, path in enumerate(paths, start=1):
        w_FD, stored = model.get_parameter(f"{path}.weight").detach(), quantized[f"{path}.weight"]
        own = min(rank, *w_FD.shape)
        found[path] = compensate(w_FD, stored.dequantize(), statistics[path].gram_DD, rank=own)
        progress(number, len(paths))
    return found
