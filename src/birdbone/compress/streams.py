"""Two streams of hidden states side by side, a dense teacher's and a student's, moved on block by block.

Shapes: N windows, T tokens, B windows a batch, D hidden size.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor
from transformers import PreTrainedModel

from birdbone.compress.config import FIRST_TOKEN_SHARE
from birdbone.models import Architecture, BlockContext, capture_block_inputs, run_block


@dataclass(frozen=True, slots=True, kw_only=True)
class Streams:
    """Hidden states entering the current block, one tensor a batch, and what every block receives beside them."""

    dense: list[Tensor]
    student: list[Tensor]
    context: BlockContext


def open_streams(
    student: PreTrainedModel,
    dense: PreTrainedModel,
    architecture: Architecture,
    windows_NT: Int[Tensor, "N T"],
    batch_size: int,
) -> Streams:
    """Return both streams as they enter the first block; windows beyond the last whole batch are left out."""
    size = min(batch_size, len(windows_NT))
    batches = [windows_NT[start : start + size] for start in range(0, len(windows_NT) - size + 1, size)]
    with torch.no_grad():
        captured = [capture_block_inputs(dense, architecture, batch) for batch in batches]
        ours = [capture_block_inputs(student, architecture, batch)[0] for batch in batches]
    return Streams(dense=[hidden for hidden, _ in captured], student=ours, context=captured[0][1])


@torch.no_grad()
def advance(
    model: PreTrainedModel, architecture: Architecture, index: int, hidden: list[Tensor], context: BlockContext
) -> list[Tensor]:
    """Return the outputs of block `index` on every batch."""
    return [run_block(model, architecture, index, hidden_BTD=batch, context=context) for batch in hidden]


def relative_error(output_BTD: Float[Tensor, "B T D"], target_BTD: Float[Tensor, "B T D"]) -> Float[Tensor, ""]:
    """Return the squared error of each token as a share of its target's squared norm, averaged over tokens.

    Relative, because a few tokens carry activations a thousand times the rest. The first token of a window, which all
    later ones attend to, counts `FIRST_TOKEN_SHARE` on top of its part in the mean.
    """
    error_BT = (output_BTD - target_BTD).square().sum(dim=-1) / target_BTD.square().sum(dim=-1).clamp_min(1e-12)
    return error_BT.mean() + FIRST_TOKEN_SHARE * error_BT[:, 0].mean()


def mean_relative_error(outputs: list[Tensor], targets: list[Tensor]) -> float:
    """Return the mean of `relative_error` over batches."""
    errors = [float(relative_error(output, target)) for output, target in zip(outputs, targets, strict=True)]
    return sum(errors) / len(errors)
