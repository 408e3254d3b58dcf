"""Patterns of zeros as projections: given scores, which weights stay. Shapes: F out_features, D in_features."""

from __future__ import annotations

from functools import partial
from typing import assert_never

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor

from birdbone.compress.config import ZeroPattern
from birdbone.compress.refit.admm import Project
from birdbone.compress.shedding.zeros import shed_blocks, shed_n_of_m


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
            kept, group = pattern.num_kept, pattern.group
            return lambda scores_FD: shed_n_of_m(scores_FD, _everything(scores_FD), num_kept=kept, group=group)
        case "block":
            rows, columns = pattern.rows, pattern.columns
            return lambda scores_FD: shed_blocks(
                scores_FD, _everything(scores_FD), rows=rows, columns=columns, share=share
            )
        case _:
            assert_never(pattern.kind)


def keep_highest(scores_FD: Float[Tensor, "F D"], *, sparsity: float) -> Bool[Tensor, "F D"]:
    """Return the mask of each row's highest scores; `sparsity` of the row is dropped, rounded. One stays at least.

    Of equal scores at the edge it is not said which stay, but always as many.
    """
    width = scores_FD.shape[1]
    num_kept = max(1, width - round(width * sparsity))
    # NumPy's partition is vectorised, torch's topk is not: a sixth of the time.
    parted_FD = np.partition(scores_FD.numpy(), width - num_kept, axis=1)
    mask_FD = scores_FD >= torch.from_numpy(parted_FD[:, width - num_kept, None])
    is_tied_F = mask_FD.sum(dim=1) != num_kept
    if bool(is_tied_F.any()):
        tied_TD = scores_FD[is_tied_F]
        kept_TK = tied_TD.topk(num_kept, dim=1, sorted=False).indices
        mask_FD[is_tied_F] = torch.zeros_like(tied_TD, dtype=torch.bool).scatter_(1, kept_TK, True)
    return mask_FD


def _everything(scores_FD: Tensor) -> Tensor:
    return torch.ones_like(scores_FD, dtype=torch.bool)
