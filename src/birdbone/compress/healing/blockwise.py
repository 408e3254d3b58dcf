"""Block-wise masked healing. Shapes: N windows, T tokens, B windows a step, D hidden size.

Theory of operation. Two streams of hidden states run through the decoder side by side: the dense model's and the pruned
one's. At each block the pruned block, fed with what it will really see, learns for a few steps to give the dense
block's output; then both streams move on. Only one block needs gradients at a time, the target is exact at every
depth, and damage done below is mended above. After each update the mask is put back on: no shed weight revives.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Int
from torch import Tensor
from torch.nn import Parameter
from transformers import PreTrainedModel

from birdbone.compress.config import HealConfig
from birdbone.compress.errors import HealingDivergedError
from birdbone.models import Architecture, BlockContext, capture_block_inputs, run_block
from birdbone.train import DivergedError, FitConfig
from birdbone.train.loop import fit
from birdbone.watch import MetricSink

Masks = Mapping[str, Bool[Tensor, "F D"]]


@dataclass(frozen=True, slots=True, kw_only=True)
class HealReport:
    """Relative squared error of each block's output against the dense model, before and after its steps."""

    errors_before: tuple[float, ...]
    errors_after: tuple[float, ...]
    num_steps: int


@dataclass(frozen=True, slots=True, kw_only=True)
class _Streams:
    """Hidden states entering the current block, one tensor a batch, and what every block receives beside them."""

    dense: list[Tensor]
    pruned: list[Tensor]
    context: BlockContext


def heal_blocks(
    pruned: PreTrainedModel,
    dense: PreTrainedModel,
    architecture: Architecture,
    *,
    windows_NT: Int[Tensor, "N T"],
    masks: Masks,
    config: HealConfig,
    progress: Callable[[int, int], None] = lambda done, total: None,
    sink: MetricSink | None = None,
) -> HealReport:
    """Teach each block of `pruned` to give the outputs of `dense`, in place, and report the error of each.

    Args:
        windows_NT: healing tokens; whole batches of `config.batch_size` are used.
        masks: by the linear's path, True where a weight survives; a linear without an entry is free.
        progress: called with blocks done and blocks in all.
        sink: receives each block's error after healing as `healing_error`, its index as the step.

    Raises:
        HealingDivergedError: a block's loss was not finite at any rate (names the block).
    Source: block-wise reconstruction as in Frantar et al. 2022 (OBC), arXiv:2208.11580, sec. 4; the loss is relative to
    each token's norm, because a few tokens carry activations a thousand times the rest.
    """
    streams = _open_streams(pruned, dense, architecture, windows_NT, config.batch_size)
    steps = _steps_per_block(config.num_steps, architecture.num_layers)
    before, after = [], []
    for index in range(architecture.num_layers):
        targets = _advance(dense, architecture, index, streams.dense, streams.context)
        before.append(_mean_error(pruned, architecture, index, streams, targets))
        _heal_block(pruned, architecture, index, streams, targets, masks=masks, config=config, num_steps=steps[index])
        outputs = _advance(pruned, architecture, index, streams.pruned, streams.context)
        after.append(_relative_error_of(outputs, targets))
        streams = _Streams(dense=targets, pruned=outputs, context=streams.context)
        if sink is not None:
            sink.log("healing_error", after[-1], step=index)
        progress(index + 1, architecture.num_layers)
    return HealReport(errors_before=tuple(before), errors_after=tuple(after), num_steps=sum(steps))


def relative_error(output_BTD: Tensor, target_BTD: Tensor) -> Tensor:
    """Return the mean over tokens of the squared error as a share of the target's squared norm."""
    error_BT = (output_BTD - target_BTD).square().sum(dim=-1)
    return (error_BT / target_BTD.square().sum(dim=-1).clamp_min(1e-12)).mean()


def _open_streams(
    pruned: PreTrainedModel, dense: PreTrainedModel, architecture: Architecture, windows_NT: Tensor, batch_size: int
) -> _Streams:
    size = min(batch_size, len(windows_NT))
    batches = [windows_NT[start : start + size] for start in range(0, len(windows_NT) - size + 1, size)]
    with torch.no_grad():
        captured = [capture_block_inputs(dense, architecture, batch) for batch in batches]
        ours = [capture_block_inputs(pruned, architecture, batch)[0] for batch in batches]
    return _Streams(dense=[hidden for hidden, _ in captured], pruned=ours, context=captured[0][1])


def _steps_per_block(num_steps: int, num_blocks: int) -> list[int]:
    return [num_steps * (index + 1) // num_blocks - num_steps * index // num_blocks for index in range(num_blocks)]


@torch.no_grad()
def _advance(
    model: PreTrainedModel, architecture: Architecture, index: int, hidden: list[Tensor], context: BlockContext
) -> list[Tensor]:
    return [run_block(model, architecture, index, hidden_BTD=batch, context=context) for batch in hidden]


def _mean_error(
    model: PreTrainedModel, architecture: Architecture, index: int, streams: _Streams, targets: list[Tensor]
) -> float:
    return _relative_error_of(_advance(model, architecture, index, streams.pruned, streams.context), targets)


def _relative_error_of(outputs: list[Tensor], targets: list[Tensor]) -> float:
    errors = [float(relative_error(output, target)) for output, target in zip(outputs, targets, strict=True)]
    return sum(errors) / len(errors)


def _heal_block(
    model: PreTrainedModel,
    architecture: Architecture,
    index: int,
    streams: _Streams,
    targets: list[Tensor],
    *,
    masks: Masks,
    config: HealConfig,
    num_steps: int,
) -> None:
    parameters, masked = _block_parameters(model, architecture, index, masks)

    def loss_of_step(step: int) -> Tensor:
        batch = step % len(targets)
        hidden_BTD = streams.pruned[batch]
        output = run_block(model, architecture, index, hidden_BTD=hidden_BTD, context=streams.context)
        return relative_error(output, targets[batch])

    try:
        fit(
            parameters,
            loss_of_step,
            FitConfig(num_steps=num_steps, learning_rate=config.learning_rate),
            after_step=lambda: _put_masks_on(masked),
        )
    except DivergedError as error:
        raise HealingDivergedError(f"Healing of block {index} diverged.", block=index) from error
    finally:
        for parameter in parameters:
            parameter.requires_grad_(False)
            parameter.grad = None


def _block_parameters(
    model: PreTrainedModel, architecture: Architecture, index: int, masks: Masks
) -> tuple[list[Parameter], list[tuple[Parameter, Tensor]]]:
    parameters = list(model.get_submodule(architecture.layer_path(index)).parameters())
    for parameter in parameters:
        parameter.requires_grad_(True)
    paths = [slot.path for slot in architecture.layers[index].linears if slot.path in masks]
    masked = [(model.get_parameter(f"{path}.weight"), masks[path]) for path in paths]
    return parameters, masked


@torch.no_grad()
def _put_masks_on(masked: list[tuple[Parameter, Tensor]]) -> None:
    for parameter, mask_FD in masked:
        parameter.mul_(mask_FD)
