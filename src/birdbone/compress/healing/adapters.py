"""Low-rank updates under the mask of the weight that they update. Shapes: F outputs, D inputs, R rank, M tokens.

Theory of operation. A weight W with the mask m becomes W + m * (s B A). LoRA leaves m out, so that merging turns every
pruned weight into a living one; with m the merged weight has W's zeros, and is exactly what was trained. The price is
one product of the size of W for each pass, which is small beside the tokens'. W may be held in 4 bits: it is turned
into floats when a pass needs it and forgotten again, also on the way back, which makes its floats a second time rather
than keep them.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn
from torch.nn import functional
from transformers import PreTrainedModel

from birdbone.compress.errors import RankError
from birdbone.compress.healing.masking import Masks
from birdbone.compress.healing.nf4 import Nf4Tensor
from birdbone.models.gguf import QuantizedTensor

FrozenWeight = Tensor | Nf4Tensor | QuantizedTensor
"""A weight that does not learn: as floats, or in 4 bits."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Placed:
    """Linears that were replaced by adapted ones, by path: what takes an adapter out again."""

    linears: Mapping[str, nn.Linear]
    adapters: Mapping[str, MaskedLora]

    @property
    def parameters(self) -> list[nn.Parameter]:
        """The factors, which learn."""
        return [factor for adapter in self.adapters.values() for factor in (adapter.left, adapter.right)]


class MaskedLora(nn.Module):
    """y = (W + mask * scale * left right) x + bias; only `left` (B) and `right` (A) are parameters of its own.

    `left` begins at zero, so that the linear begins as it was.
    Source: Hu et al. 2021 (LoRA), arXiv:2106.09685, eq. 3; the mask as in Zimmer et al. 2023 (PERP, MaskLoRA),
    arXiv:2312.15230, sec. 3. Symbols: B = left, A = right, alpha / r = scale.
    """

    def __init__(
        self,
        weight: FrozenWeight,
        mask_FD: Bool[Tensor, "F D"] | None,
        bias: nn.Parameter | None,
        *,
        rank: int,
        alpha: float,
        generator: torch.Generator,
    ) -> None:
        super().__init__()
        num_outputs, num_inputs = weight.shape
        if not 1 <= rank <= min(num_outputs, num_inputs):
            largest = min(num_outputs, num_inputs)
            raise RankError(
                f"A linear of {num_outputs} x {num_inputs} takes ranks from 1 to {largest}; {rank} came.", rank=rank
            )
        self.frozen, self.bias = weight, bias
        self.scale = alpha / rank
        self.mask: Tensor | None
        self.register_buffer("mask", mask_FD, persistent=False)
        bound = 1 / math.sqrt(num_inputs)
        self.left = nn.Parameter(torch.zeros(num_outputs, rank))
        self.right = nn.Parameter(torch.empty(rank, num_inputs).uniform_(-bound, bound, generator=generator))

    @property
    def rank(self) -> int:
        """Inner size of the product."""
        return self.right.shape[0]

    def update(self, left_FR: Tensor, right_RD: Tensor) -> Float[Tensor, "F D"]:
        """Return what these factors add to the weight."""
        update_FD = (left_FR.float() @ right_RD.float()).mul_(self.scale)
        return update_FD if self.mask is None else update_FD.mul_(self.mask)

    def frozen_weight(self) -> Float[Tensor, "F D"]:
        """Return the frozen weight as floats."""
        return self.frozen if isinstance(self.frozen, Tensor) else self.frozen.dequantize()

    def forward(self, x_MD: Float[Tensor, "*M D"]) -> Float[Tensor, "*M F"]:
        """Return the output for any batch of inputs."""
        output: Tensor = _AdaptedLinear.apply(  # type: ignore[no-untyped-call]
            x_MD, self.left, self.right, self.bias, self
        )
        return output


class _AdaptedLinear(torch.autograd.Function):
    """The product with the adapted weight, which is made anew on the way back and never kept."""

    @staticmethod
    @torch.amp.custom_fwd(device_type="cpu")  # type: ignore[untyped-decorator]
    def forward(ctx: Any, x: Tensor, left: Tensor, right: Tensor, bias: Tensor | None, adapter: MaskedLora) -> Tensor:
        ctx.save_for_backward(x, left, right)
        ctx.adapter = adapter
        weight_FD = adapter.frozen_weight() + adapter.update(left, right)
        return functional.linear(x, weight_FD.to(x.dtype), bias)

    @staticmethod
    @torch.amp.custom_bwd(device_type="cpu")  # type: ignore[untyped-decorator]
    def backward(ctx: Any, by_output: Tensor) -> tuple[Tensor | None, ...]:
        x, left_FR, right_RD = ctx.saved_tensors
        adapter: MaskedLora = ctx.adapter
        needs_x, _, _, needs_bias, _ = ctx.needs_input_grad
        by_output_MF, x_MD = by_output.flatten(0, -2), x.flatten(0, -2)
        by_x = None
        if needs_x:
            weight_FD = adapter.frozen_weight() + adapter.update(left_FR, right_RD)
            by_x = (by_output @ weight_FD.to(by_output.dtype)).to(x.dtype)
        if adapter.mask is None:  # then the gradient by the whole weight is not needed
            by_left_FR = adapter.scale * (by_output_MF.T @ (x_MD @ right_RD.T.to(x.dtype)))
            by_right_RD = adapter.scale * ((by_output_MF @ left_FR.to(by_output.dtype)).T @ x_MD)
        else:
            by_weight_FD = (by_output_MF.T @ x_MD).float().mul_(adapter.mask).mul_(adapter.scale)
            by_left_FR, by_right_RD = by_weight_FD @ right_RD.T, left_FR.T @ by_weight_FD
        by_bias = by_output_MF.sum(dim=0) if needs_bias else None
        return by_x, by_left_FR.to(left_FR.dtype), by_right_RD.to(right_RD.dtype), by_bias, None


def put_adapters(
    model: PreTrainedModel,
    weights: Mapping[str, FrozenWeight],
    masks: Masks,
    *,
    ranks: Mapping[str, int],
    alpha: float,
    generator: torch.Generator,
) -> Placed:
    """Replace linears by adapted ones that give what the frozen weights give, in place.

    Args:
        weights: by the path of the linear.
        masks: by the path; a linear without an entry, or whose mask keeps all, has its update unmasked.
        ranks: by the path.
        alpha: an update counts alpha / rank.

    Raises:
        RankError: a rank is larger than a side of its linear; the model is as it was.
    """
    linears = {path: model.get_submodule(path) for path in weights}
    adapters = {
        path: MaskedLora(
            weight,
            None if path not in masks or bool(masks[path].all()) else masks[path],
            linears[path].bias,
            rank=ranks[path],
            alpha=alpha,
            generator=generator,
        )
        for path, weight in weights.items()
    }
    for path, adapter in adapters.items():
        model.set_submodule(path, adapter)
    return Placed(linears=linears, adapters=adapters)


@torch.no_grad()
def merge_adapters(model: PreTrainedModel, placed: Placed, *, onto_base: bool) -> None:
    """Put the linears back, in place, with the updates added to their weights; no zero of a mask comes back.

    Args:
        onto_base: add them to the frozen weights, which may be rounded, and not to the linear's own.
    """
    for path, adapter in placed.adapters.items():
        linear = placed.linears[path]
        update_FD = adapter.update(adapter.left, adapter.right)
        linear.weight.copy_((adapter.frozen_weight() if onto_base else linear.weight) + update_FD)
    take_adapters_out(model, placed)


def take_adapters_out(model: PreTrainedModel, placed: Placed) -> None:
    """Put the linears back as they are."""
    for path, linear in placed.linears.items():
        model.set_submodule(path, linear)
