"""A linear as two thin ones that train, and the way back. Shapes: F out_features, D in_features, R rank, B batch."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional
from transformers import PreTrainedModel

from birdbone.compress.lowrank.factors import Factors


class LowRankLinear(nn.Module):
    """y = left (right x) + bias: R (F + D) products a token in place of F D; both factors are parameters."""

    def __init__(self, factors: Factors, bias_F: Float[Tensor, " F"] | None = None) -> None:
        super().__init__()
        self.left = nn.Parameter(factors.left_FR.detach().clone())
        self.right = nn.Parameter(factors.right_RD.detach().clone())
        self.bias = None if bias_F is None else nn.Parameter(bias_F.detach().clone())

    @property
    def rank(self) -> int:
        """Inner size of the product."""
        return self.right.shape[0]

    def forward(self, x_BD: Float[Tensor, "*B D"]) -> Float[Tensor, "*B F"]:
        """Return the output for any batch of inputs."""
        return functional.linear(functional.linear(x_BD, self.right), self.left, self.bias)

    def merged(self) -> nn.Linear:
        """Return the dense linear that gives the same outputs."""
        num_outputs, num_inputs = self.left.shape[0], self.right.shape[1]
        linear = nn.Linear(num_inputs, num_outputs, bias=self.bias is not None, dtype=self.left.dtype)
        with torch.no_grad():
            linear.weight.copy_(self.left @ self.right)
            if self.bias is not None:
                linear.bias.copy_(self.bias)
        return linear


def put_factors(model: PreTrainedModel, factors: Mapping[str, Factors]) -> None:
    """Replace linears by factorised ones, in place, each with the bias of the linear that it stands for.

    Args:
        factors: by the path of the linear.
    """
    for path, each in factors.items():
        old = model.get_submodule(path)
        bias = old.bias if isinstance(old.bias, Tensor) else None
        model.set_submodule(path, LowRankLinear(each, bias).to(next(old.parameters()).dtype))


def merge_factors(model: PreTrainedModel) -> tuple[str, ...]:
    """Turn every factorised linear back into a dense one, in place, and return their paths."""
    paths = tuple(name for name, module in model.named_modules() if isinstance(module, LowRankLinear))
    for path in paths:
        module = model.get_submodule(path)
        assert isinstance(module, LowRankLinear)
        model.set_submodule(path, module.merged())
    return paths
