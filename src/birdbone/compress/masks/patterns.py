"""Patterns of zeros as projections: given scores, which weights stay. Shapes: F out_features, D in_features."""

from __future__ import annotations

from functools import partial
from typing import assert_never

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from birdbone.compress.config import ZeroPattern
from birdbone.compress.errors import PatternWidthError
from birdbone.compress.refit.admm import Project
from birdbone.compress.shedding.zeros import shed_blocks


def projection(pattern: ZeroPattern, *, share: float) -> Project:
    """Return the function that gives the mask of a pattern that keeps the largest scores.

    Args:
        pattern: which zeros there may be.
        share: of this linear's weights that goes, where the pattern leaves a choice.
    """
    match pattern.kind:
        case "unstructured":
            return partial(keep_highest, sparsity=share)
        case "n:m":
            return partial(keep_n_of_m, num_kept=pattern.num_kept, group=pattern.group)
        case "block":
            return lambda scores_FD: shed_blocks(
                scores_FD,
                torch.ones_like(scores_FD, dtype=torch.bool),
                rows=pattern.rows,
                columns=pattern.columns,
                share=pattern.share,
            )
        case _:
            assert_never(pattern.kind)


def keep_highest(scores_FD: Float[Tensor, "F D"], *, sparsity: float) -> Bool[Tensor, "F D"]:
    """Return the mask of each row's highest scores; `sparsity` of the row is dropped, rounded down. One stays at least.

    Of equal scores at the edge it is not said which stay, but always as many.
    """
    num_kept = max(1, scores_FD.shape[1] - int(scores_FD.shape[1] * sparsity))
    kept_FK = scores_FD.topk(num_kept, dim=1, sorted=False).indices
    return torch.zeros_like(scores_FD, dtype=torch.bool).scatter_(1, kept_FK, True)


def keep_n_of_m(scores_FD: Float[Tensor, "F D"], *, num_kept: int, group: int) -> Bool[Tensor, "F D"]:
    """Return the mask of the highest `num_kept` scores of every `group` neighbours; of equal ones the first stay.

    Raises:
        PatternWidthError: `group` does not divide D.
    """
    num_rows, width = scores_FD.shape
    if width % group:
        message = f"A pattern of {num_kept}:{group} needs a width that {group} divides; this one is {width}."
        raise PatternWidthError(message, width=width)
    scores_FGM = scores_FD.reshape(num_rows, -1, group)
    num_above_FGM = torch.zeros_like(scores_FGM, dtype=torch.int16)
    for other in range(group):  # sorting groups of four one by one takes ten times as long
        rival_FG1 = scores_FGM[..., other, None]
        num_above_FGM += rival_FG1 > scores_FGM
        num_above_FGM[..., other + 1 :] += rival_FG1 == scores_FGM[..., other + 1 :]
    return (num_above_FGM < num_kept).reshape(num_rows, width)
