"""A weight as the product of two thin ones. Shapes: F out_features, D in_features, R rank.

Theory of operation. The SVD of W gives the nearest matrix of a rank; what counts is the nearest output. With inputs of
Gram matrix G = S Sᵀ the output's error is the plain error of W S, so the SVD is taken of W S and S is divided out
again: no rank-R matrix has less output error. Outputs can be weighted in the same way, row by row. The singular values
are those of the weighted matrix, so their squares are the error that each rank takes away: a rank is read off them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import assert_never

import torch
from jaxtyping import Float
from torch import Tensor

from birdbone.compress.config import FactorConfig
from birdbone.compress.errors import RankError
from birdbone.compress.gram import cholesky, damp
from birdbone.compress.lowrank.nonnegative import split_signs
from birdbone.compress.lowrank.ranks import choose_rank

_FLOOR = 1e-12


@dataclass(frozen=True, slots=True, kw_only=True)
class Factors:
    """W is about `left_FR @ right_RD`; in the terms of LoRA, `left` is B and `right` is A."""

    left_FR: Float[Tensor, "F R"]
    right_RD: Float[Tensor, "R D"]

    @property
    def rank(self) -> int:
        """Inner size of the product."""
        return self.right_RD.shape[0]

    @property
    def num_weights(self) -> int:
        """Numbers in both factors."""
        return self.left_FR.numel() + self.right_RD.numel()

    def product(self) -> Float[Tensor, "F D"]:
        """Return the dense matrix that the factors stand for."""
        return self.left_FR @ self.right_RD


@dataclass(frozen=True, slots=True, kw_only=True)
class WeightedSvd:
    """Singular values and vectors of a weight seen through its inputs and outputs; any rank is cut from it.

    Attributes:
        values_R: singular values of the weighted matrix, falling.
    """

    left_FR: Float[Tensor, "F R"]
    values_R: Float[Tensor, " R"]
    right_RD: Float[Tensor, "R D"]

    def cut(self, rank: int) -> Factors:
        """Return the factors of a rank, the singular values shared evenly between them.

        Raises:
            RankError: there is no such rank.
        """
        if not 1 <= rank <= len(self.values_R):
            raise RankError(f"The rank is between 1 and {len(self.values_R)}; {rank} came.", rank=rank)
        root_R = self.values_R[:rank].sqrt()
        return Factors(left_FR=self.left_FR[:, :rank] * root_R, right_RD=self.right_RD[:rank] * root_R[:, None])


def factorise(
    w_FD: Float[Tensor, "F D"],
    gram_DD: Float[Tensor, "D D"],
    *,
    config: FactorConfig,
    sensitivity_F: Float[Tensor, " F"] | None = None,
) -> Factors:
    """Return the factors of a weight as the settings ask; it is not changed.

    Args:
        gram_DD: mean of x xᵀ over calibration tokens.
        sensitivity_F: E[g²] of each output; `fisher`, and a rank by loss, need it.

    Raises:
        RankError: no rank keeps what the settings ask for, or the sensitivity is missing.
        SingularGramError: the damped Gram matrix is not positive definite.
    """
    gram_DD = gram_DD.float()
    seen = weighted_svd(w_FD, gram_DD, config=config, sensitivity_F=sensitivity_F)
    rank = choose_rank(
        seen.values_R, (w_FD.shape[0], w_FD.shape[1]), config=config.rank, has_damage=config.kind == "fisher"
    )
    if config.kind == "nonnegative":
        left_FR, right_RD = split_signs(w_FD, rank=max(2, rank))
        return Factors(left_FR=left_FR, right_RD=right_RD)
    return seen.cut(rank)


def weighted_svd(
    w_FD: Float[Tensor, "F D"],
    gram_DD: Float[Tensor, "D D"],
    *,
    config: FactorConfig,
    sensitivity_F: Float[Tensor, " F"] | None = None,
) -> WeightedSvd:
    """Return the SVD of a weight in the metric that the settings name.

    Raises:
        RankError: `fisher` without a sensitivity.
        SingularGramError: the damped Gram matrix is not positive definite.
    Source: ASVD (Yuan et al. 2023, arXiv:2312.05821, eq. 5; S = root of E[x²], exponent 1/2), SVD-LLM (Wang et al.
    2024, arXiv:2403.07378, theorem 3.2; S = Cholesky factor of the Gram matrix), FWSVD (Hsu et al. 2022,
    arXiv:2207.00112, eq. 6; Î = sensitivity). Differs: `fisher` weighs the outputs and whitens the inputs at once.
    """
    match config.kind:
        case "plain" | "nonnegative":
            return _svd(w_FD.float())
        case "scaled":
            scale_D = gram_DD.diagonal().clamp_min(_FLOOR).pow(0.25)
            seen = _svd(w_FD.float() * scale_D)
            return WeightedSvd(left_FR=seen.left_FR, values_R=seen.values_R, right_RD=seen.right_RD / scale_D)
        case "whitened":
            return _whitened(w_FD.float(), gram_DD, damping=config.damping)
        case "fisher":
            if sensitivity_F is None:
                raise RankError("Factors by Fisher information need the sensitivity of the outputs.")
            root_F = sensitivity_F.clamp_min(_FLOOR * float(sensitivity_F.max())).clamp_min(1e-30).sqrt()
            seen = _whitened(w_FD.float() * root_F[:, None], gram_DD, damping=config.damping)
            return WeightedSvd(left_FR=seen.left_FR / root_F[:, None], values_R=seen.values_R, right_RD=seen.right_RD)
        case _:
            assert_never(config.kind)


def _whitened(w_FD: Tensor, gram_DD: Tensor, *, damping: float) -> WeightedSvd:
    lower_DD = cholesky(damp(gram_DD.double(), damping, silent_ridge=1.0), damping=damping)
    seen = _svd((w_FD.double() @ lower_DD).float())
    right_RD = torch.linalg.solve_triangular(lower_DD, seen.right_RD.double(), upper=False, left=False)
    return WeightedSvd(left_FR=seen.left_FR, values_R=seen.values_R, right_RD=right_RD.float())


def _svd(w_FD: Tensor) -> WeightedSvd:
    left_FR, values_R, right_RD = torch.linalg.svd(w_FD, full_matrices=False)
    return WeightedSvd(left_FR=left_FR, values_R=values_R, right_RD=right_RD)
