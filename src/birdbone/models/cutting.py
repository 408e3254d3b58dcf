"""Keeping some rows or columns of a linear, in place. What stays keeps its values and its `requires_grad`."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn


def keep_rows(linear: nn.Linear, rows: Sequence[int]) -> None:
    """Keep these outputs of `linear`, in the order given."""
    linear.weight = selected_rows(linear.weight, rows)
    if linear.bias is not None:
        linear.bias = selected_rows(linear.bias, rows)
    linear.out_features = len(rows)


def keep_columns(linear: nn.Linear, columns: Sequence[int]) -> None:
    """Keep these inputs of `linear`, in the order given."""
    weight_FD = linear.weight.detach()[:, torch.tensor(columns)]
    linear.weight = nn.Parameter(weight_FD, requires_grad=linear.weight.requires_grad)
    linear.in_features = len(columns)


def selected_rows(parameter: Tensor, rows: Sequence[int]) -> nn.Parameter:
    """Return a parameter of its own that holds these rows."""
    return nn.Parameter(parameter.detach()[torch.tensor(rows)], requires_grad=parameter.requires_grad)
