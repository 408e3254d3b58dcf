"""Quantizing a model block after block, each one fitted to the inputs that it will really see.

Theory of operation. Rounding a layer against the dense model's inputs ignores that all layers below it are rounded too;
over thirty of them the drift adds up. So two streams run side by side, the dense model's and the quantized one's. At
each linear, with x its dense input and z the one that the quantized model feeds it, the weights are first moved towards
the least-squares map from z to the dense output, W' = W + W (Σ x zᵀ - Σ z zᵀ)(Σ z zᵀ + λ)⁻¹, and then rounded with
error feedback under Σ z zᵀ. In a pruned model the change is kept within the mask.
First tokens count as in `statistics.py`. Shapes: F out_features, D in_features, N windows, T tokens.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn
from transformers import PreTrainedModel

from birdbone.compress.config import RoundingConfig
from birdbone.compress.errors import NoCalibrationDataError
from birdbone.compress.quantize.linear import quantize_linear
from birdbone.compress.statistics import InputStatistics
from birdbone.compress.streams import Streams, advance, open_streams
from birdbone.models import Architecture, InputGroup, run_block
from birdbone.models.gguf import GgufType, QuantizedTensor

FIRST_TOKEN_SHARE = 0.1


@dataclass(slots=True, kw_only=True)
class _Moments:
    """Sums over tokens of z zᵀ and x zᵀ: over all, and over the first token of each window."""

    zz_DD: Tensor
    xz_DD: Tensor
    first_zz_DD: Tensor
    first_xz_DD: Tensor
    num_tokens: int = 0

    def add(self, x_TD: Tensor, z_TD: Tensor, *, window: int) -> None:
        """Add one batch of dense and quantized inputs."""
        self.zz_DD.addmm_(z_TD.T, z_TD)
        self.xz_DD.addmm_(x_TD.T, z_TD)
        self.first_zz_DD.addmm_(z_TD[::window].T, z_TD[::window])
        self.first_xz_DD.addmm_(x_TD[::window].T, z_TD[::window])
        self.num_tokens += len(z_TD)

    def balanced(self) -> tuple[Tensor, Tensor]:
        """Return the means of z zᵀ and x zᵀ with the first tokens at their share of the power."""
        rest_DD = self.zz_DD - self.first_zz_DD
        weight = FIRST_TOKEN_SHARE * rest_DD.trace() / self.first_zz_DD.trace().clamp_min(1e-30)
        cross_DD = self.xz_DD - self.first_xz_DD
        gram_DD = (rest_DD + weight * self.first_zz_DD) / self.num_tokens
        return gram_DD, (cross_DD + weight * self.first_xz_DD) / self.num_tokens


@torch.no_grad()
def quantize_blocks(
    model: PreTrainedModel,
    dense: PreTrainedModel,
    architecture: Architecture,
    *,
    windows_NT: Int[Tensor, "N T"],
    kinds: Mapping[str, GgufType],
    masks: Mapping[str, Bool[Tensor, "F D"]],
    config: RoundingConfig,
    batch_size: int = 4,
    progress: Callable[[int, int], None] = lambda _done, _total: None,
) -> dict[str, QuantizedTensor]:
    """Return codes and scales of every linear, by the weight's name, and leave `model` holding what they dequantise to.

    Args:
        model: the state to quantize, pruned or not. Its linears are changed.
        dense: the teacher. Not changed.
        windows_NT: calibration tokens; windows beyond the last whole batch are left out.
        kinds: the block type of every linear, by its path.
        masks: by the linear's path, True where a weight survives.
        progress: called with blocks done and blocks in all.

    Raises:
        NoCalibrationDataError: no windows.
        SingularGramError, BlockWidthError, WeightRangeError: see `quantize_linear`.
    Source: Li et al. 2025 (GPTAQ), arXiv:2504.02692, asymmetric calibration. Differs: the correction is solved in
    closed form before rounding, instead of within the sweep.
    """
    if windows_NT.numel() == 0:
        raise NoCalibrationDataError("There are no calibration windows to quantize on.")
    streams = open_streams(model, dense, architecture, windows_NT, batch_size)
    quantized: dict[str, QuantizedTensor] = {}
    for index in range(architecture.num_layers):
        moments, targets = _observe(model, dense, architecture, index, streams)
        for group in architecture.layers[index].input_groups:
            quantized |= _quantize_group(model, dense, group, moments[group.linears[0]], kinds, masks, config)
        outputs = advance(model, architecture, index, streams.student, streams.context)
        streams = Streams(dense=targets, student=outputs, context=streams.context)
        progress(index + 1, architecture.num_layers)
    return quantized


def _observe(
    model: PreTrainedModel, dense: PreTrainedModel, architecture: Architecture, index: int, streams: Streams
) -> tuple[dict[str, _Moments], list[Tensor]]:
    """Return the moments of every input group of a block, and the dense block's outputs."""
    paths = [group.linears[0] for group in architecture.layers[index].input_groups]
    moments: dict[str, _Moments] = {}
    targets = []
    for dense_in, student_in in zip(streams.dense, streams.student, strict=True):
        x, output = _inputs(dense, architecture, index, dense_in, streams, paths)
        z, _ = _inputs(model, architecture, index, student_in, streams, paths)
        targets.append(output)
        for path in paths:
            moments.setdefault(path, _empty(x[path])).add(x[path], z[path], window=dense_in.shape[1])
    return moments, targets


def _inputs(
    model: PreTrainedModel,
    architecture: Architecture,
    index: int,
    hidden_BTD: Tensor,
    streams: Streams,
    paths: list[str],
) -> tuple[dict[str, Tensor], Tensor]:
    """Return the input of each linear at `paths` in one run of a block, tokens flattened, and the block's output."""
    seen: dict[str, Tensor] = {}

    def keep(path: str) -> Callable[[nn.Module, tuple[Tensor, ...]], None]:
        def hook(_module: nn.Module, inputs: tuple[Tensor, ...]) -> None:
            seen[path] = inputs[0].flatten(0, -2).float()

        return hook

    handles = [model.get_submodule(path).register_forward_pre_hook(keep(path)) for path in paths]
    try:
        output = run_block(model, architecture, index, hidden_BTD=hidden_BTD, context=streams.context)
    finally:
        for handle in handles:
            handle.remove()
    return seen, output


def _empty(x_TD: Tensor) -> _Moments:
    sums = [x_TD.new_zeros(x_TD.shape[1], x_TD.shape[1]) for _ in range(4)]
    return _Moments(zz_DD=sums[0], xz_DD=sums[1], first_zz_DD=sums[2], first_xz_DD=sums[3])


def _quantize_group(
    model: PreTrainedModel,
    dense: PreTrainedModel,
    group: InputGroup,
    moments: _Moments,
    kinds: Mapping[str, GgufType],
    masks: Mapping[str, Tensor],
    config: RoundingConfig,
) -> dict[str, QuantizedTensor]:
    gram_DD, cross_DD = moments.balanced()
    correction_DD = _correction(gram_DD, cross_DD, damping=config.drift_damping)
    statistics = InputStatistics(gram_DD=gram_DD, num_tokens=moments.num_tokens)
    quantized = {}
    for path in group.linears:
        weight_FD = model.get_parameter(f"{path}.weight")
        teacher_FD = dense.get_parameter(f"{path}.weight")
        target_FD = weight_FD + _masked(teacher_FD @ correction_DD, masks.get(path))
        tensor = quantize_linear(target_FD, statistics, kind=kinds[path], mask_FD=masks.get(path), config=config)
        weight_FD.copy_(tensor.dequantize())
        quantized[f"{path}.weight"] = tensor
    return quantized


def _correction(gram_DD: Tensor, cross_DD: Tensor, *, damping: float) -> Tensor:
    """Return the change of the weights per weight, (Σ x zᵀ - Σ z zᵀ)(Σ z zᵀ + λ)⁻¹: zero where x and z agree."""
    ridge = damping * float(gram_DD.diagonal().mean())
    damped_DD = gram_DD.double() + ridge * torch.eye(len(gram_DD), dtype=torch.float64, device=gram_DD.device)
    solved: Tensor = torch.linalg.solve(damped_DD, (cross_DD - gram_DD).double(), left=False)
    return solved.float()


def _masked(change_FD: Float[Tensor, "F D"], mask_FD: Tensor | None) -> Tensor:
    return change_FD if mask_FD is None else change_FD * mask_FD
