"""Low-rank correction of a quantized model, learned block by block and merged into its block scales.

Theory of operation. A dense low-rank correction of an INT4 matrix has no place in the file: added to the weights and
rounded again, it is rounded away; kept beside them, it costs bytes and a second product a layer. What a block format
has in real numbers is its scales (and mins). So each linear gets factors U and V of rank r, and both are multiplied by
1 + U V, block for block.
The factors (and the norms, which the file keeps in float) learn to give the dense block's output from what the
quantized block will really see, block after block. Then they are merged: the file keeps its size, its codes and its
kernels. A block that the merge left worse keeps its scales.
Shapes: F out_features, D in_features, G blocks of 32 a row, R rank, N windows, T tokens.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.func import functional_call
from torch.nn import Parameter
from transformers import PreTrainedModel

from birdbone.compress.config import LowRankConfig
from birdbone.compress.errors import HealingDivergedError, NoCalibrationDataError
from birdbone.compress.streams import Streams, advance, mean_relative_error, open_streams, relative_error
from birdbone.models import Architecture
from birdbone.models.gguf import BLOCK_SIZE, QuantizedTensor, RoundedTensor
from birdbone.train import DivergedError, FitConfig
from birdbone.train.loop import fit


@dataclass(frozen=True, slots=True, kw_only=True)
class MergeReport:
    """Each block's output error against the dense model, on windows not learned from, before and after the merge."""

    quantized: Mapping[str, RoundedTensor]
    errors_before: tuple[float, ...]
    errors_after: tuple[float, ...]
    num_merged: int


@dataclass(frozen=True, slots=True, kw_only=True)
class _Factors:
    """Factors of one linear's blocks: U starts at zero, so that learning starts from the blocks as they are."""

    quantized: QuantizedTensor
    weight_FD: Float[Tensor, "F D"]
    """What the tensor dequantises to before the correction."""
    left_FR: Parameter
    right_RG: Parameter

    def weight(self) -> Float[Tensor, "F D"]:
        return self.weight_FD * self._gain().repeat_interleave(BLOCK_SIZE, dim=1)

    def merged(self) -> QuantizedTensor:
        scales, mins = self.quantized.scales, self.quantized.mins
        gain_FG = self._gain().detach()
        return dataclasses.replace(
            self.quantized,
            scales=(scales * gain_FG).half().float(),
            mins=None if mins is None else (mins * gain_FG).half().float(),
        )

    def _gain(self) -> Float[Tensor, "F G"]:
        return 1 + self.left_FR @ self.right_RG


def merge_low_rank_scales(
    model: PreTrainedModel,
    dense: PreTrainedModel,
    architecture: Architecture,
    *,
    quantized: Mapping[str, RoundedTensor],
    windows_NT: Int[Tensor, "N T"],
    config: LowRankConfig,
    progress: Callable[[int, int], None] = lambda _done, _total: None,
) -> MergeReport:
    """Return the quantized tensors with corrected scales, and leave `model` holding what they dequantise to.

    Args:
        model: any state of the model; the linears named in `quantized` are set to what their codes and scales say, the
            norms are learned in place.
        dense: the teacher. Not changed.
        quantized: by the weight's name; those that are no linear of a block are handed back as they are.
        windows_NT: tokens to learn on and, the last quarter, to decide on; whole batches are used.
        progress: called with blocks done and blocks in all.

    Raises:
        NoCalibrationDataError: under two batches of windows.
        HealingDivergedError: a block's loss was not finite at any rate.
    """
    if len(windows_NT) < 2 * config.batch_size:
        raise NoCalibrationDataError(
            f"The correction needs at least {2 * config.batch_size} windows, to learn and to decide; "
            f"`windows_NT` has {len(windows_NT)}.",
            hint="Give more rows in `windows_NT`, or lower `batch_size`.",
        )
    load_quantized(model, quantized)
    streams = open_streams(model, dense, architecture, windows_NT, config.batch_size)
    corrected = dict(quantized)
    before, after = [], []
    for index in range(architecture.num_layers):
        targets = advance(dense, architecture, index, streams.dense, streams.context)
        outputs = advance(model, architecture, index, streams.student, streams.context)
        unseen = _num_learned(len(targets))
        before.append(mean_relative_error(outputs[unseen:], targets[unseen:]))
        outputs, error, block = _correct_block(
            model, architecture, index, streams, targets, outputs, quantized=corrected, config=config
        )
        corrected |= block
        after.append(error)
        streams = Streams(dense=targets, student=outputs, context=streams.context)
        progress(index + 1, architecture.num_layers)
    num_merged = sum(1 for old, new in zip(before, after, strict=True) if new < old)
    return MergeReport(
        quantized=corrected, errors_before=tuple(before), errors_after=tuple(after), num_merged=num_merged
    )


def _correct_block(
    model: PreTrainedModel,
    architecture: Architecture,
    index: int,
    streams: Streams,
    targets: list[Tensor],
    outputs: list[Tensor],
    *,
    quantized: Mapping[str, RoundedTensor],
    config: LowRankConfig,
) -> tuple[list[Tensor], float, dict[str, RoundedTensor]]:
    """Return the block's outputs, its error and its tensors after the merge, or as they were if that is no better."""
    layer = model.get_submodule(architecture.layer_path(index))
    prefix = f"{architecture.layer_path(index)}."
    factors = _make_factors(architecture, index, quantized, config)
    norms = {name: p for name, p in layer.named_parameters() if f"{prefix}{name}" not in factors and p.ndim == 1}
    learned = {name: Parameter(p.detach().clone()) for name, p in norms.items()}
    fixed = {name: p.detach() for name, p in layer.named_parameters()}

    num_learned = _num_learned(len(targets))

    def loss_of_step(step: int) -> Tensor:
        batch = step % num_learned
        weights = {name.removeprefix(prefix): factor.weight() for name, factor in factors.items()}
        output = functional_call(
            layer,
            {**fixed, **weights, **learned},
            (streams.student[batch],),
            dict(streams.context.layer_arguments[index]),
        )
        return relative_error(output, targets[batch])

    _fit(index, factors, learned, loss_of_step, config)
    merged: dict[str, RoundedTensor] = {name: factor.merged() for name, factor in factors.items()}
    kept = {name: parameter.detach().clone() for name, parameter in norms.items()}
    _set(model, prefix, merged, learned)
    corrected = advance(model, architecture, index, streams.student, streams.context)
    before = mean_relative_error(outputs[num_learned:], targets[num_learned:])
    after = mean_relative_error(corrected[num_learned:], targets[num_learned:])
    if after < before:
        return corrected, after, merged
    old = {name: quantized[name] for name in factors}
    _set(model, prefix, old, kept)
    return outputs, before, old


def _num_learned(num_batches: int) -> int:
    """Return how many batches are learned from; the rest, a quarter and at least one, decides."""
    return num_batches - max(1, num_batches // 4)


def _make_factors(
    architecture: Architecture, index: int, quantized: Mapping[str, RoundedTensor], config: LowRankConfig
) -> dict[str, _Factors]:
    generator = torch.Generator().manual_seed(index)
    factors = {}
    for slot in architecture.layers[index].linears:
        name = f"{slot.path}.weight"
        tensor = quantized.get(name)
        if isinstance(tensor, QuantizedTensor):  # packed types have scales of scales, which no product reaches
            num_rows, num_blocks = tensor.scales.shape
            right_RG = torch.randn(config.rank, num_blocks, generator=generator) / num_blocks**0.5
            left_FR = torch.zeros(num_rows, config.rank)
            factors[name] = _Factors(
                quantized=tensor,
                weight_FD=tensor.dequantize(),
                left_FR=Parameter(left_FR),
                right_RG=Parameter(right_RG),
            )
    return factors


def _fit(
    index: int,
    factors: Mapping[str, _Factors],
    norms: Mapping[str, Parameter],
    loss_of_step: Callable[[int], Tensor],
    config: LowRankConfig,
) -> None:
    parameters = [p for factor in factors.values() for p in (factor.left_FR, factor.right_RG)] + list(norms.values())
    steps = FitConfig(num_steps=config.num_steps, learning_rate=config.learning_rate)
    try:
        fit(parameters, loss_of_step, steps)
    except DivergedError as error:
        raise HealingDivergedError(f"The correction of block {index} diverged.", block=index) from error


@torch.no_grad()
def load_quantized(model: PreTrainedModel, quantized: Mapping[str, RoundedTensor]) -> None:
    """Set the weights of `model` to what the tensors dequantise to; each is named as its weight."""
    for name, tensor in quantized.items():
        model.get_parameter(name).copy_(tensor.dequantize())


@torch.no_grad()
def _set(
    model: PreTrainedModel, prefix: str, quantized: Mapping[str, RoundedTensor], norms: Mapping[str, Tensor]
) -> None:
    load_quantized(model, quantized)
    for name, value in norms.items():
        model.get_parameter(f"{prefix}{name}").copy_(value)
