"""Random linears with correlated inputs, and the naive form of what the craft computes on them."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from hypothesis import settings
from hypothesis import strategies as st
from torch import Tensor

seeds = st.integers(min_value=0, max_value=2**32 - 1)
law = settings(max_examples=25, deadline=None)


@dataclass(frozen=True, slots=True, kw_only=True)
class DrawnLinear:
    """Weights and the inputs that they read. Shapes: F outputs, D inputs, T tokens."""

    w_FD: Tensor
    x_TD: Tensor

    @property
    def gram_DD(self) -> Tensor:
        return (self.x_TD.double().T @ self.x_TD.double() / len(self.x_TD)).to(self.x_TD.dtype)

    def output_error(self, approximation_FD: Tensor) -> float:
        """Mean squared error of the output over the tokens, summed over outputs, by running the linear."""
        difference_TF = self.x_TD.double() @ (self.w_FD.double() - approximation_FD.double()).T
        return float(difference_TF.square().sum() / len(self.x_TD))


def draw_linear(
    seed: int, *, num_outputs: int = 4, num_inputs: int = 8, num_tokens: int = 64, dtype: torch.dtype = torch.float32
) -> DrawnLinear:
    """Return normal weights, and inputs that are mixed with each other and differ in loudness."""
    generator = torch.Generator().manual_seed(seed)
    mix_DD = torch.randn(num_inputs, num_inputs, generator=generator, dtype=dtype) / num_inputs**0.5
    loudness_D = torch.randn(num_inputs, generator=generator, dtype=dtype).exp()
    x_TD = torch.randn(num_tokens, num_inputs, generator=generator, dtype=dtype) @ (mix_DD + torch.eye(num_inputs))
    w_FD = torch.randn(num_outputs, num_inputs, generator=generator, dtype=dtype)
    return DrawnLinear(w_FD=w_FD, x_TD=x_TD * loudness_D)


def draw_mask(seed: int, *shape: int, keep: float = 0.5) -> Tensor:
    return torch.rand(*shape, generator=torch.Generator().manual_seed(seed)) < keep


def damped(gram_DD: Tensor, damping: float) -> Tensor:
    return gram_DD + damping * gram_DD.diagonal().mean() * torch.eye(len(gram_DD), dtype=gram_DD.dtype)


def quadratic_error(w_FD: Tensor, approximation_FD: Tensor, gram_DD: Tensor) -> float:
    error_FD = (w_FD - approximation_FD).double()
    return float(((error_FD @ gram_DD.double()) * error_FD).sum())
