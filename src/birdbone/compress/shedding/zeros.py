"""Patterns of zeros that keep a matrix's shape: N of M neighbours, and rectangles.

Shapes: F out_features, D in_features.
"""

from __future__ import annotations

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from birdbone.compress.errors import PatternWidthError


def shed_n_of_m(
    scores_FD: Float[Tensor, "F D"], mask_FD: Bool[Tensor, "F D"], *, num_kept: int, group: int
) -> Bool[Tensor, "F D"]:
    """Return the mask with at most `num_kept` survivors of every `group` neighbours in a row, the highest scores.

    Raises:
        PatternWidthError: `group` does not divide D.
    """
    require_n_of_m_fits(tuple(scores_FD.shape), num_kept, group)
    alive_GM = scores_FD.float().masked_fill(~mask_FD, -torch.inf).reshape(-1, group)
    num_above_GM = torch.zeros_like(alive_GM, dtype=torch.int16)
    for other in range(group):  # sorting takes ten times as long; of equal scores the first stay
        rival_G1 = alive_GM[:, other, None]
        num_above_GM += rival_G1 > alive_GM
        num_above_GM[:, other + 1 :] += rival_G1 == alive_GM[:, other + 1 :]
    return (num_above_GM < num_kept).reshape(mask_FD.shape) & mask_FD


def shed_blocks(
    scores_FD: Float[Tensor, "F D"], mask_FD: Bool[Tensor, "F D"], *, rows: int, columns: int, share: float
) -> Bool[Tensor, "F D"]:
    """Return the mask with the lowest-scored rectangles dropped whole: `share` of those alive, rounded down, never all.

    The score of a rectangle is the sum over its survivors.

    Raises:
        PatternWidthError: the rectangles do not tile the matrix.
    """
    num_rows, width = scores_FD.shape
    require_blocks_fit((num_rows, width), rows, columns)
    tiles = (num_rows // rows, rows, width // columns, columns)
    alive_RC = mask_FD.reshape(tiles).any(dim=3).any(dim=1)
    score_RC = (scores_FD.float() * mask_FD).reshape(tiles).sum(dim=(1, 3)).masked_fill(~alive_RC, torch.inf)
    num_alive = int(alive_RC.sum())
    num_dropped = max(0, min(int(num_alive * share), num_alive - 1))
    dropped_RC = torch.zeros_like(alive_RC.flatten())
    dropped_RC[score_RC.flatten().argsort(stable=True)[:num_dropped]] = True
    keeps_FD = ~dropped_RC.reshape(alive_RC.shape).repeat_interleave(rows, 0).repeat_interleave(columns, 1)
    return mask_FD & keeps_FD


def require_n_of_m_fits(shape: tuple[int, ...], num_kept: int, group: int, *, where: str = "a matrix") -> None:
    """Check that a row falls into whole groups.

    Raises:
        PatternWidthError: it does not.
    """
    width = shape[-1]
    if width % group:
        message = f"{where}: a pattern of {num_kept}:{group} needs a width that {group} divides; this one is {width}."
        raise PatternWidthError(message, width=width)


def require_blocks_fit(shape: tuple[int, ...], rows: int, columns: int, *, where: str = "a matrix") -> None:
    """Check that rectangles tile a matrix.

    Raises:
        PatternWidthError: they do not.
    """
    num_rows, width = shape
    if num_rows % rows or width % columns:
        message = f"{where}: rectangles of {rows} x {columns} do not tile {num_rows} x {width}."
        raise PatternWidthError(message, width=width)
