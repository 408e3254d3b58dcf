"""RigL regrowth: the shed weights with the largest gradient of the loss come back. Shapes: F outputs, D inputs."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor
from transformers import PreTrainedModel

from birdbone.train.loop import trainable


def choose_regrowth(
    gradient_FD: Float[Tensor, "F D"], mask_FD: Bool[Tensor, "F D"], *, fraction: float
) -> Bool[Tensor, "F D"]:
    """Return the mask with up to `fraction` of the dropped weights back: those with the largest |gradient|.

    The number is rounded down. Ties go to the lower index.
    Source: Evci et al. 2019, arXiv:1911.11134, sec. 3 (grow step). Differs: nothing is dropped in exchange.
    """
    num_back = int(int((~mask_FD).sum()) * fraction)
    candidates = gradient_FD.abs().masked_fill(mask_FD, -1.0).flatten()
    chosen = candidates.argsort(descending=True, stable=True)[:num_back]
    grown = mask_FD.flatten().clone()
    grown[chosen] = True
    return grown.view_as(mask_FD)


def loss_gradients(
    model: PreTrainedModel, windows_NT: Int[Tensor, "N T"], paths: Sequence[str]
) -> dict[str, Float[Tensor, "F D"]]:
    """Return the gradient of the mean next-token loss for the weights of the linears at `paths`, shed ones included.

    Costs one forward and one backward a window; holds one gradient for each of these weights. The model is unchanged.
    """
    weights = [model.get_parameter(f"{path}.weight") for path in paths]
    totals = [torch.zeros_like(weight) for weight in weights]
    with trainable(weights):
        for window_T in windows_NT:
            loss = model(input_ids=window_T[None], labels=window_T[None], use_cache=False).loss
            for total, gradient in zip(totals, torch.autograd.grad(loss, weights), strict=True):
                total += gradient / len(windows_NT)
    return dict(zip(paths, totals, strict=True))
