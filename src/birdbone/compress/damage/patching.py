"""What each layer's damage alone costs in predictions, and where it arrives.

Shapes: L layers, N windows, B windows a batch, T tokens, D hidden size, V vocabulary.

Theory of operation. The dense model runs once and keeps the stream before every layer. Then, for each layer, its
changed twin takes over for that one layer and the dense layers above go on: how far the predictions then are from the
dense ones is the layer's *harm*, and how far the stream is at each later layer is where the damage arrives. The reverse
puts one dense layer into the changed model: by how much that brings the predictions back is the layer's *relief*. Harm
asks what a layer breaks by itself; relief what mending it alone would win. Both cost half a model's pass a layer.
Source: Meng et al. 2022, arXiv:2202.05262, sec. 2.1 (causal tracing: one hidden state put back); here a whole layer.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Int
from numpy.typing import NDArray
from torch import Tensor
from transformers import PreTrainedModel

from birdbone.compress.damage.drift import window_errors
from birdbone.compress.errors import NoCalibrationDataError
from birdbone.models import Architecture, BlockContext, capture_block_inputs, finish_blocks, run_block


@dataclass(frozen=True, slots=True, kw_only=True)
class PatchReport:
    """Costs in nats a token against the dense model's predictions. Layers that were left out are NaN."""

    harm_LN: NDArray[np.float64]
    """KL(dense || dense with this one layer changed)."""
    relief_LN: NDArray[np.float64]
    """KL(dense || changed) less KL(dense || changed with this one layer dense); negative if that makes it worse."""
    total_N: NDArray[np.float64]
    """KL(dense || changed)."""
    arrival_LL: NDArray[np.float64]
    """Relative squared error of the output of the second layer when only the first is changed; 0 below it."""


def patch_layers(
    changed: PreTrainedModel,
    dense: PreTrainedModel,
    architecture: Architecture,
    *,
    windows_NT: Int[Tensor, "N T"],
    layers: Sequence[int] | None = None,
    progress: Callable[[int, int], None] = lambda _done, _total: None,
) -> PatchReport:
    """Return harm, relief and arrival of each layer; changes nothing.

    Args:
        windows_NT: tokens, one window at a time.
        layers: which to look at; None for all.
        progress: called with windows done and windows in all.

    Raises:
        NoCalibrationDataError: no windows.
    """
    if windows_NT.numel() == 0:
        raise NoCalibrationDataError("There are no windows to compare predictions on.")
    chosen = range(architecture.num_layers) if layers is None else layers
    windows = []
    for number, window_T in enumerate(windows_NT, start=1):
        windows.append(_patch_window(changed, dense, architecture, window_T[None], chosen))
        progress(number, len(windows_NT))
    return PatchReport(
        harm_LN=np.stack([window.harm_L for window in windows], axis=1),
        relief_LN=np.stack([window.relief_L for window in windows], axis=1),
        total_N=np.array([window.total for window in windows]),
        arrival_LL=np.mean([window.arrival_LL for window in windows], axis=0),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Window:
    harm_L: NDArray[np.float64]
    relief_L: NDArray[np.float64]
    total: float
    arrival_LL: NDArray[np.float64]


@torch.no_grad()
def _patch_window(
    changed: PreTrainedModel, dense: PreTrainedModel, architecture: Architecture, ids_1T: Tensor, layers: Sequence[int]
) -> _Window:
    context = capture_block_inputs(dense, architecture, ids_1T)[1]
    ours, theirs = _states(changed, architecture, ids_1T, context), _states(dense, architecture, ids_1T, context)
    target_TV = _log_probabilities(dense, architecture, theirs[-1])
    total = _divergence(target_TV, _log_probabilities(changed, architecture, ours[-1]))
    num_layers = architecture.num_layers
    harm_L, relief_L = np.full(num_layers, np.nan), np.full(num_layers, np.nan)
    arrival_LL = np.zeros((num_layers, num_layers))
    for index in layers:
        stream = _swap(changed, dense, architecture, theirs[index], index, context)
        harm_L[index] = _divergence(target_TV, _log_probabilities(dense, architecture, stream[-1]))
        arrival_LL[index, index:] = [
            window_errors(output, target)[0] for output, target in zip(stream, theirs[index + 1 :], strict=True)
        ]
        mended = _swap(dense, changed, architecture, ours[index], index, context)
        relief_L[index] = total - _divergence(target_TV, _log_probabilities(changed, architecture, mended[-1]))
    return _Window(harm_L=harm_L, relief_L=relief_L, total=total, arrival_LL=arrival_LL)


def _states(model: PreTrainedModel, architecture: Architecture, ids_1T: Tensor, context: BlockContext) -> list[Tensor]:
    """Return the stream before each layer, and after the last."""
    states = [capture_block_inputs(model, architecture, ids_1T)[0]]
    for index in range(architecture.num_layers):
        states.append(run_block(model, architecture, index, hidden_BTD=states[-1], context=context))
    return states


def _swap(
    guest: PreTrainedModel,
    host: PreTrainedModel,
    architecture: Architecture,
    hidden_BTD: Tensor,
    index: int,
    context: BlockContext,
) -> list[Tensor]:
    """Return the outputs of layer `index` of the guest and of all layers of the host above it."""
    stream = [run_block(guest, architecture, index, hidden_BTD=hidden_BTD, context=context)]
    for later in range(index + 1, architecture.num_layers):
        stream.append(run_block(host, architecture, later, hidden_BTD=stream[-1], context=context))
    return stream


def _log_probabilities(model: PreTrainedModel, architecture: Architecture, hidden_1TD: Tensor) -> Tensor:
    return finish_blocks(model, architecture, hidden_1TD)[0].float().log_softmax(dim=-1)


def _divergence(target_TV: Tensor, found_TV: Tensor) -> float:
    """Return the mean KL(target || found) over tokens; infinite where `found` is not finite."""
    value = float((target_TV.exp() * (target_TV - found_TV)).sum(dim=-1).double().mean())
    return max(value, 0.0) if np.isfinite(value) else float("inf")
