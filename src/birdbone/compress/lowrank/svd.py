"""The best low-rank approximation. Shapes: M rows, N columns, R rank."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor


def truncate(matrix_MN: Float[Tensor, "M N"], *, rank: int) -> tuple[Float[Tensor, "M R"], Float[Tensor, "R N"]]:
    """Return two factors whose product is the closest matrix of at most `rank` in the Frobenius norm.

    A rank above min(M, N) gives the exact matrix back.
    Source: Eckart and Young 1936, The approximation of one matrix by another of lower rank.
    """
    left_MR, singular_R, right_RN = torch.linalg.svd(matrix_MN.float(), full_matrices=False)
    rank = min(rank, len(singular_R))
    return left_MR[:, :rank] * singular_R[:rank], right_RN[:rank]
