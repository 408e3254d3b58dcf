"""Moments of what the last linears of a block read: neurons, and the outputs of heads. Shapes: T tokens, D inputs.

The first token of a window, the attention sink, is one among hundreds and in some layers a million times as loud. So
it is kept apart and given a fixed share of the power of all others, as `compress.statistics` does, which tells why.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor
from transformers import PreTrainedModel

from birdbone.compress.config import FIRST_TOKEN_SHARE
from birdbone.compress.growth.silencing import output_path
from birdbone.compress.growth.structures import BlockKind
from birdbone.models.architecture import LayerLayout

BLOCKS: tuple[BlockKind, ...] = ("attention", "feed_forward")


@dataclass(frozen=True, slots=True, kw_only=True)
class InputMoments:
    """What one linear reads, over all tokens of a calibration text.

    Attributes:
        gram_DD: mean of x xᵀ, not centred, with the first tokens at their share.
        mean_D: mean of x, weighted in the same way.
        peak_D: largest absolute value.
    """

    gram_DD: Float[Tensor, "D D"]
    mean_D: Float[Tensor, " D"]
    peak_D: Float[Tensor, " D"]


class MomentSums:
    """Adds up the inputs of one linear, window by window."""

    def __init__(self) -> None:
        self._first: list[Tensor] = []
        self._gram_DD: Tensor | None = None
        self._sum_D: Tensor
        self._peak_D: Tensor
        self._count = 0

    def add(self, x_BTD: Float[Tensor, "B T D"]) -> None:
        """Take in whole windows."""
        first_BD, other_TD = x_BTD[:, 0].clone(), x_BTD[:, 1:].flatten(0, 1)
        if self._gram_DD is None:
            width = x_BTD.shape[2]
            self._gram_DD = x_BTD.new_zeros(width, width)
            self._sum_D, self._peak_D = x_BTD.new_zeros(width), x_BTD.new_zeros(width)
        self._first.append(first_BD)
        self._gram_DD.addmm_(other_TD.T, other_TD)
        self._sum_D += other_TD.sum(dim=0)
        self._peak_D = torch.maximum(self._peak_D, x_BTD.abs().amax(dim=(0, 1)))
        self._count += len(first_BD) + len(other_TD)

    def moments(self) -> InputMoments:
        """Return the moments of all that was added: at least one window."""
        assert self._gram_DD is not None, "nothing was added"
        first_ND, gram_DD = torch.cat(self._first), self._gram_DD
        weight = 1.0
        if len(first_ND) < self._count:
            power = first_ND.square().sum().clamp_min(1e-30)
            weight = float(FIRST_TOKEN_SHARE * gram_DD.diagonal().sum() / power)
        # Over the sum of the weights: else the Gram matrix less the means' product need not be positive.
        total = self._count + (weight - 1.0) * len(first_ND)
        return InputMoments(
            gram_DD=(gram_DD + weight * first_ND.T @ first_ND) / total,
            mean_D=(self._sum_D + weight * first_ND.sum(dim=0)) / total,
            peak_D=self._peak_D,
        )


@contextmanager
def watched_moments(model: PreTrainedModel, layout: LayerLayout) -> Iterator[dict[BlockKind, MomentSums]]:
    """Give the sums that fill while the layer runs, one for each block that it has."""
    kinds = [kind for kind in BLOCKS if (layout.attention if kind == "attention" else layout.feed_forward)]
    sums = {kind: MomentSums() for kind in kinds}
    handles = [
        model.get_submodule(output_path(layout, kind)).register_forward_pre_hook(_adder(sums[kind])) for kind in kinds
    ]
    try:
        yield sums
    finally:
        for handle in handles:
            handle.remove()


def _adder(sums: MomentSums) -> Callable[[Any, tuple[Tensor]], None]:
    def add(_module: Any, inputs: tuple[Tensor]) -> None:
        x = inputs[0].detach().float()
        sums.add(x if x.ndim == 3 else x[None])

    return add
