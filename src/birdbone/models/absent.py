"""What stands where the attention or the feed-forward of a layer was taken out: modules that add nothing."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from transformers import Cache


class AbsentAttention(nn.Module):
    """No attention: gives zeros, which the layer adds to its input."""

    def __init__(self, layer_idx: int) -> None:
        super().__init__()
        self.layer_idx = layer_idx

    def forward(
        self,
        hidden_states: Tensor,
        past_key_values: Cache | None = None,
        layer_past: Cache | None = None,
        **_: Any,
    ) -> tuple[Tensor, None]:
        """Return zeros like `hidden_states`, and no attention weights; families name the cache by either argument."""
        cache = layer_past if past_key_values is None else past_key_values
        if cache is not None:
            # transformers asks one layer's cache how many tokens went by, so this layer counts them, a zero a token.
            num_sequences, num_tokens, _width = hidden_states.shape
            counted = hidden_states.new_zeros(num_sequences, 1, num_tokens, 1)
            cache.update(counted, counted, self.layer_idx)
        return torch.zeros_like(hidden_states), None


class AbsentFeedForward(nn.Module):
    """No feed-forward: gives zeros, which the layer adds to its input."""

    def forward(self, hidden_states: Tensor) -> Tensor:
        """Return zeros like `hidden_states`."""
        return torch.zeros_like(hidden_states)
