"""SparseGPT as it is written down, run beside ours on the same inputs. Shapes: F out_features, D in_features."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from birdbone.compress.config import MaskConfig, NOfMPattern
from birdbone.compress.masks.blocks import Solved
from birdbone.compress.refit import Project

_BLOCK = 128


def sparsegpt(
    weights: Mapping[str, Tensor], gram_DD: Tensor, projects: Mapping[str, Project], config: MaskConfig
) -> Solved:
    """Drop block by block, each error pushed onto later inputs (Frantar & Alistarh 2023, arXiv:2301.00774, alg. 1)."""
    del projects  # it chooses within blocks of 128 inputs over all rows, not within a row
    inverse_DD = torch.cholesky_inverse(torch.linalg.cholesky(gram_DD))
    upper_DD = torch.linalg.cholesky(inverse_DD, upper=True)
    return {path: _sweep(w_FD.clone(), upper_DD, config) for path, w_FD in weights.items()}


def _sweep(w_FD: Tensor, upper_DD: Tensor, config: MaskConfig) -> Tensor:
    for start in range(0, w_FD.shape[1], _BLOCK):
        stop = min(start + _BLOCK, w_FD.shape[1])
        corner_KK = upper_DD[start:stop, start:stop]
        errors_FK = _prune_block(w_FD[:, start:stop], corner_KK, config)
        w_FD[:, stop:] -= errors_FK @ upper_DD[start:stop, stop:]
    return w_FD


def _prune_block(w_FK: Tensor, upper_KK: Tensor, config: MaskConfig) -> Tensor:
    """Prune one block in place and return the scaled errors."""
    diagonal_K, errors_FK = upper_KK.diagonal(), torch.zeros_like(w_FK)
    pattern = config.pattern
    drops_FK = torch.zeros_like(w_FK, dtype=torch.bool)
    if not isinstance(pattern, NOfMPattern):
        score_FK = (w_FK / diagonal_K).square()
        drops_FK = score_FK <= score_FK.flatten().sort().values[int(score_FK.numel() * pattern.share)]
    for column in range(w_FK.shape[1]):
        if isinstance(pattern, NOfMPattern) and column % pattern.group == 0:
            span = slice(column, column + pattern.group)
            score_FM = (w_FK[:, span] / diagonal_K[span]).square()
            lowest = score_FM.topk(pattern.group - pattern.num_kept, dim=1, largest=False).indices
            drops_FK.scatter_(1, column + lowest, True)
        kept_F = w_FK[:, column].masked_fill(drops_FK[:, column], 0.0)
        error_F = (w_FK[:, column] - kept_F) / diagonal_K[column]
        w_FK[:, column:] -= error_F[:, None] * upper_KK[column, column:]
        w_FK[:, column], errors_FK[:, column] = kept_F, error_F
    return errors_FK
