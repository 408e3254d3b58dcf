"""The loss of a model pruned by given shares: what thresholds are judged by. Shapes: N windows, T tokens."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import numpy as np
import torch
from jaxtyping import Bool
from numpy.typing import NDArray
from torch import Tensor
from transformers import PreTrainedModel

from birdbone.evaluate.perplexity import token_nll


@contextmanager
def pruned(model: PreTrainedModel, masks: Mapping[str, Bool[Tensor, "F D"]]) -> Iterator[None]:
    """Put masks on the model's linears, and put its weights back as they were, bit by bit, whatever happens."""
    weights = {path: model.get_parameter(f"{path}.weight") for path in masks}
    kept = {path: weight_FD.detach().clone() for path, weight_FD in weights.items()}
    try:
        with torch.no_grad():
            for path, mask_FD in masks.items():
                weights[path].mul_(mask_FD)
        yield
    finally:
        with torch.no_grad():
            for path, weight_FD in kept.items():
                weights[path].copy_(weight_FD)


def running_losses(
    model: PreTrainedModel, windows_NT: NDArray[np.int64], *, batch_size: int = 4
) -> Iterator[tuple[int, float]]:
    """Yield windows done and the mean loss a token over them, in nats, after each batch; the last is over all.

    Raises:
        EvaluateError: as `token_nll` does.
    """
    means: list[float] = []
    for start in range(0, len(windows_NT), batch_size):
        nll_NP = token_nll(model, windows_NT[start : start + batch_size], batch_size=batch_size)
        means += nll_NP.mean(axis=1).tolist()
        yield len(means), float(np.mean(means))
