"""Putting a pattern of zeros on every linear of a model. Shapes: F out_features, D in_features."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import assert_never

import torch
from jaxtyping import Bool
from torch import Tensor
from transformers import PreTrainedModel

from birdbone.compress.config import BlockPattern, NOfMPattern, UnstructuredPattern, WandaConfig
from birdbone.compress.importance import score_linear
from birdbone.compress.refit import refit_survivors
from birdbone.compress.shedding.unstructured import shed_lowest
from birdbone.compress.shedding.zeros import require_blocks_fit, require_n_of_m_fits, shed_blocks, shed_n_of_m
from birdbone.compress.statistics import InputStatistics
from birdbone.models import Architecture

ZeroPattern = UnstructuredPattern | NOfMPattern | BlockPattern


@torch.no_grad()
def put_zeros(
    model: PreTrainedModel,
    architecture: Architecture,
    statistics: Mapping[str, InputStatistics],
    pattern: ZeroPattern,
    *,
    refits: bool = True,
    progress: Callable[[int, int], None] = lambda _done, _total: None,
) -> dict[str, Bool[Tensor, "F D"]]:
    """Put zeros on every prunable linear, in place, and return the masks: True where a weight survives.

    Scores are Wanda's. With `refits` the survivors take over the linear's output (masked conjugate gradients).

    Raises:
        PatternWidthError: the pattern does not divide a linear (names it). `model` is unchanged.
    """
    require_all_fit(model, architecture, pattern)
    paths = architecture.linear_paths
    masks = {}
    for number, path in enumerate(paths, start=1):
        w_FD = model.get_parameter(f"{path}.weight")
        scores_FD = score_linear(w_FD, statistics[path], WandaConfig())
        masks[path] = mask_of(scores_FD, pattern)
        gram_DD = statistics[path].gram_DD
        w_FD.copy_(refit_survivors(w_FD, masks[path], gram_DD) if refits else w_FD * masks[path])
        progress(number, len(paths))
    return masks


def mask_of(scores_FD: Tensor, pattern: ZeroPattern) -> Bool[Tensor, "F D"]:
    """Return the mask that a pattern makes of scores.

    Raises:
        PatternWidthError: it does not divide the matrix.
    """
    full_FD = torch.ones_like(scores_FD, dtype=torch.bool)
    match pattern:
        case UnstructuredPattern():
            return shed_lowest(scores_FD, full_FD, fraction=pattern.share)
        case NOfMPattern():
            return shed_n_of_m(scores_FD, full_FD, num_kept=pattern.num_kept, group=pattern.group)
        case BlockPattern():
            return shed_blocks(scores_FD, full_FD, rows=pattern.rows, columns=pattern.columns, share=pattern.share)
        case _:
            assert_never(pattern)


def require_all_fit(model: PreTrainedModel, architecture: Architecture, pattern: ZeroPattern) -> None:
    """Check that a pattern divides every prunable linear.

    Raises:
        PatternWidthError: it does not (names the first).
    """
    for path in architecture.linear_paths:
        shape = tuple(model.get_parameter(f"{path}.weight").shape)
        if isinstance(pattern, NOfMPattern):
            require_n_of_m_fits(shape, pattern.num_kept, pattern.group, where=path)
        elif isinstance(pattern, BlockPattern):
            require_blocks_fit(shape, pattern.rows, pattern.columns, where=path)
