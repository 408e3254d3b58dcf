"""How far each layer of a changed model is from the dense one: by its own doing, and with all that came before it.

Shapes: L layers, N windows, B windows a batch, T tokens, D hidden size, M tokens of all windows.

Theory of operation. Two streams of hidden states run through the decoder. Own damage is a layer's when it is fed what
the dense layer is fed: an unchanged layer has none, however ill the layers below it are. Propagated damage is a layer's
when it is fed what it will really get. The error is that of the layer's output, as healing reckons it; cosine and CKA
are of what the layer adds to the stream, because the stream itself hardly turns whatever a layer does.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Int
from numpy.typing import NDArray
from torch import Tensor
from transformers import PreTrainedModel

from birdbone.compress.errors import NoCalibrationDataError
from birdbone.compress.streams import Streams, advance, open_streams, relative_error
from birdbone.models import Architecture


@dataclass(frozen=True, slots=True, kw_only=True)
class Drift:
    """The distance of every layer from the dense one. What is not finite says that the layer's output was not."""

    errors_LN: NDArray[np.float64]
    """Relative squared error of the layer's output, window by window."""
    cosine_L: NDArray[np.float64]
    """Mean cosine over tokens between what the two layers add to the stream."""
    cka_L: NDArray[np.float64]
    """Linear CKA of the same."""

    @property
    def error_L(self) -> NDArray[np.float64]:
        """Mean error of each layer over windows."""
        return np.asarray(self.errors_LN.mean(axis=1))


@dataclass(frozen=True, slots=True, kw_only=True)
class DamageProfile:
    """Own and propagated damage of every layer, on so many tokens."""

    own: Drift
    propagated: Drift
    num_tokens: int


@torch.no_grad()
def measure_drift(
    changed: PreTrainedModel,
    dense: PreTrainedModel,
    architecture: Architecture,
    *,
    windows_NT: Int[Tensor, "N T"],
    batch_size: int = 2,
    progress: Callable[[int, int], None] = lambda _done, _total: None,
) -> DamageProfile:
    """Return own and propagated damage of every layer. Costs three passes without a head; changes nothing.

    Args:
        windows_NT: tokens; whole batches are used.
        progress: called with layers done and layers in all.

    Raises:
        NoCalibrationDataError: no windows.
    Source of CKA: Kornblith et al. 2019, arXiv:1905.00414, eq. 4 with linear kernels.
    """
    if windows_NT.numel() == 0:
        raise NoCalibrationDataError("There are no windows to compare layers on.")
    streams = open_streams(changed, dense, architecture, windows_NT, batch_size)
    own, propagated = [], []
    for index in range(architecture.num_layers):
        targets = advance(dense, architecture, index, streams.dense, streams.context)
        alone = advance(changed, architecture, index, streams.dense, streams.context)
        onward = advance(changed, architecture, index, streams.student, streams.context)
        added = _added(targets, streams.dense)
        own.append(_compare(alone, targets, _added(alone, streams.dense), added))
        propagated.append(_compare(onward, targets, _added(onward, streams.student), added))
        streams = Streams(dense=targets, student=onward, context=streams.context)
        progress(index + 1, architecture.num_layers)
    return DamageProfile(own=_stack(own), propagated=_stack(propagated), num_tokens=_num_tokens(streams.dense))


@torch.no_grad()
def own_errors(
    changed: PreTrainedModel,
    dense: PreTrainedModel,
    architecture: Architecture,
    *,
    windows_NT: Int[Tensor, "N T"],
    batch_size: int = 2,
) -> NDArray[np.float64]:
    """Return the mean own error of every layer: two passes, for those who need no more."""
    streams = open_streams(dense, dense, architecture, windows_NT, batch_size)
    errors, hidden = [], streams.dense
    for index in range(architecture.num_layers):
        targets = advance(dense, architecture, index, hidden, streams.context)
        alone = advance(changed, architecture, index, hidden, streams.context)
        errors.append(float(window_errors(torch.cat(alone), torch.cat(targets)).mean()))
        hidden = targets
    return np.array(errors)


def window_errors(output_NTD: Float[Tensor, "N T D"], target_NTD: Float[Tensor, "N T D"]) -> NDArray[np.float64]:
    """Return `streams.relative_error` of each window by itself."""
    pairs = zip(output_NTD, target_NTD, strict=True)
    return np.array([float(relative_error(output[None], target[None])) for output, target in pairs])


def linear_cka(x_MD: Float[Tensor, "M D"], y_MD: Float[Tensor, "M D"]) -> float:
    """Return the linear CKA of two sets of representations of the same tokens, within 0 and 1; NaN if one is constant.

    It does not change if one of them is turned or scaled. Source: Kornblith et al. 2019, arXiv:1905.00414, eq. 4.
    """
    x_MD, y_MD = x_MD.double() - x_MD.double().mean(dim=0), y_MD.double() - y_MD.double().mean(dim=0)
    if x_MD.shape[0] < x_MD.shape[1]:  # the smaller of the two Gram matrices tells the same
        x_MM, y_MM = x_MD @ x_MD.T, y_MD @ y_MD.T
        return float((x_MM * y_MM).sum() / (x_MM.norm() * y_MM.norm()))
    return float((x_MD.T @ y_MD).square().sum() / ((x_MD.T @ x_MD).norm() * (y_MD.T @ y_MD).norm()))


@dataclass(frozen=True, slots=True, kw_only=True)
class _LayerDrift:
    errors_N: NDArray[np.float64]
    cosine: float
    cka: float


def _compare(outputs: list[Tensor], targets: list[Tensor], ours: list[Tensor], theirs: list[Tensor]) -> _LayerDrift:
    x_MD, y_MD = torch.cat(ours).flatten(0, 1), torch.cat(theirs).flatten(0, 1)
    return _LayerDrift(
        errors_N=window_errors(torch.cat(outputs), torch.cat(targets)),
        cosine=float(torch.cosine_similarity(x_MD, y_MD, dim=1).mean()),
        cka=linear_cka(x_MD, y_MD),
    )


def _added(outputs: list[Tensor], inputs: list[Tensor]) -> list[Tensor]:
    return [output - entering for output, entering in zip(outputs, inputs, strict=True)]


def _stack(layers: list[_LayerDrift]) -> Drift:
    return Drift(
        errors_LN=np.stack([layer.errors_N for layer in layers]),
        cosine_L=np.array([layer.cosine for layer in layers]),
        cka_L=np.array([layer.cka for layer in layers]),
    )


def _num_tokens(hidden: list[Tensor]) -> int:
    return sum(batch.shape[0] * batch.shape[1] for batch in hidden)
