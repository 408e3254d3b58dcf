"""The SVD of a matrix that comes a few columns at a time. Shapes: F rows, C columns of one part, D so far, R rank.

Theory of operation. A new part is split into what the left vectors already span and what they do not; the small matrix
of both has the singular values of the whole. Only the left vectors, the values and, if wanted, the right vectors of the
rank are held, so a matrix larger than memory, or activations that pass by, can be factorised in one pass.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from birdbone.compress.errors import RankError


@dataclass(frozen=True, slots=True, kw_only=True)
class StreamedSvd:
    """The leading singular values and vectors of all columns seen so far."""

    left_FR: Float[Tensor, "F R"]
    values_R: Float[Tensor, " R"]
    right_DR: Float[Tensor, "D R"]

    @property
    def num_columns(self) -> int:
        """Columns seen so far."""
        return len(self.right_DR)

    def product(self) -> Float[Tensor, "F D"]:
        """Return the matrix of the rank that stands for all columns."""
        return (self.left_FR * self.values_R) @ self.right_DR.T


def start_svd(part_FC: Float[Tensor, "F C"], *, max_rank: int) -> StreamedSvd:
    """Return the SVD of the first columns, cut to a rank.

    Raises:
        RankError: the rank is under 1.
    """
    if max_rank < 1:
        raise RankError(f"The rank is at least 1; {max_rank} came.", rank=max_rank)
    left_FR, values_R, right_RC = torch.linalg.svd(part_FC.double(), full_matrices=False)
    return _cut(left_FR, values_R, right_RC.T, max_rank)


def extend_svd(found: StreamedSvd, part_FC: Float[Tensor, "F C"], *, max_rank: int) -> StreamedSvd:
    """Return the SVD of the columns so far and these beside them, cut to a rank; exact where nothing was cut away.

    Source: Brand 2006, "Fast low-rank modifications of the thin singular value decomposition",
    doi:10.1016/j.laa.2005.07.021, eq. 4. Symbols: U = left, S = values, V = right, K = small, P = the new directions.
    """
    part_FC = part_FC.double()
    inside_RC = found.left_FR.T @ part_FC
    # Projected twice: once leaves rounding errors that add up over many parts.
    outside_FC = part_FC - found.left_FR @ inside_RC
    again_RC = found.left_FR.T @ outside_FC
    inside_RC, outside_FC = inside_RC + again_RC, outside_FC - found.left_FR @ again_RC
    new_FP, weights_PC = torch.linalg.qr(outside_FC)
    rank, num_new = len(found.values_R), part_FC.shape[1]
    top = torch.cat((torch.diag(found.values_R), inside_RC), dim=1)
    bottom = torch.cat((weights_PC.new_zeros(len(weights_PC), rank), weights_PC), dim=1)
    small_left, values, small_right = torch.linalg.svd(torch.cat((top, bottom)), full_matrices=False)
    left = torch.cat((found.left_FR, new_FP), dim=1) @ small_left
    right = small_right.T  # the old columns are mixed by its first rows, each new one is a row of its own
    right = torch.cat((found.right_DR @ right[:rank], right[rank : rank + num_new]))
    return _cut(left, values, right, max_rank)


def _cut(left_FR: Tensor, values_R: Tensor, right_DR: Tensor, max_rank: int) -> StreamedSvd:
    floor = 1e-13 * float(values_R.max()) if len(values_R) else 0.0
    rank = max(1, min(max_rank, int((values_R > floor).sum())))
    return StreamedSvd(left_FR=left_FR[:, :rank], values_R=values_R[:rank], right_DR=right_DR[:, :rank])
