"""Block-wise masked healing. Shapes: N windows, T tokens, B windows a step, D hidden size.

Theory of operation. Two streams of hidden states run through the decoder side by side: the dense model's and the pruned
one's. At each block the pruned block, fed with what it will really see, learns for a few steps to give the dense
block's output; then both streams move on. Only one block needs gradients at a time, the target is exact at every
depth, and damage done below is mended above. After each update the mask is put back on: no shed weight revives. A block
that its steps left worse than they found it (the rate was too high) is put back: healing never hurts a block.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from jaxtyping import Int
from torch import Tensor
from torch.nn import Parameter
from transformers import PreTrainedModel

from birdbone.compress.config import BlockwiseConfig
from birdbone.compress.damage import allocate_steps, own_errors
from birdbone.compress.errors import HealingDivergedError, NoCalibrationDataError
from birdbone.compress.healing.masking import Masked, Masks, copies, masked_weights, num_held, put_back, put_masks_on
from birdbone.compress.healing.report import HealReport
from birdbone.compress.streams import Streams, advance, mean_relative_error, open_streams, relative_error
from birdbone.models import Architecture, run_block
from birdbone.train import DivergedError, FitConfig
from birdbone.train.loop import fit, trainable
from birdbone.watch import MetricSink


@dataclass(frozen=True, slots=True, kw_only=True)
class _HealedBlock:
    """Outputs of a block after its steps, and its error before and after them."""

    outputs: list[Tensor]
    error_before: float
    error_after: float
    losses: tuple[float, ...]
    num_learned: int


def heal_blocks(
    pruned: PreTrainedModel,
    dense: PreTrainedModel,
    architecture: Architecture,
    *,
    windows_NT: Int[Tensor, "N T"],
    masks: Masks,
    config: BlockwiseConfig,
    progress: Callable[[int, int], None] = lambda _done, _total: None,
    sink: MetricSink | None = None,
    should_stop: Callable[[], bool] = lambda: False,
) -> HealReport:
    """Teach each block of `pruned` to give the outputs of `dense`, in place, and report the error of each.

    Args:
        windows_NT: healing tokens; whole batches of `config.batch_size` are used.
        masks: by the linear's path, True where a weight survives; a linear without an entry is free.
        progress: called with blocks done and blocks in all.
        sink: receives each block's error after healing as `healing_error`, its index as the step.
        should_stop: asked before each block; with True the blocks from there on stay as they are.

    Raises:
        NoCalibrationDataError: no windows.
        HealingDivergedError: a block's loss was not finite at any rate (names the block). That block and those above it
            are as they were, those below it are healed.
    Source: block-wise reconstruction as in Frantar et al. 2022 (OBC), arXiv:2208.11580, sec. 4; the loss is that of
    `streams.relative_error`.
    """
    if windows_NT.numel() == 0:
        raise NoCalibrationDataError("There are no windows to heal on.", hint="Give `heal.num_windows` at least 1.")
    streams = open_streams(pruned, dense, architecture, windows_NT, config.batch_size)
    steps = _allotted_steps(pruned, dense, architecture, windows_NT, config)
    healed: list[_HealedBlock] = []
    for index in range(architecture.num_layers):
        if should_stop():
            break
        targets = advance(dense, architecture, index, streams.dense, streams.context)
        block = _heal_block(
            pruned, architecture, index, streams, targets, masks=masks, config=config, num_steps=steps[index]
        )
        healed.append(block)
        streams = Streams(dense=targets, student=block.outputs, context=streams.context)
        if sink is not None:
            sink.log("healing_error", block.error_after, step=index)
        progress(index + 1, architecture.num_layers)
    return _report(healed, tokens_a_step=streams.dense[0][..., 0].numel())


def _report(healed: list[_HealedBlock], *, tokens_a_step: int) -> HealReport:
    num_steps = sum(len(block.losses) for block in healed)
    return HealReport(
        kind="blockwise",
        errors_before=tuple(block.error_before for block in healed),
        errors_after=tuple(block.error_after for block in healed),
        losses=tuple(block.losses for block in healed),
        num_steps=num_steps,
        num_tokens=num_steps * tokens_a_step // max(1, len(healed)),
        num_learned=sum(block.num_learned for block in healed),
    )


def _allotted_steps(
    pruned: PreTrainedModel,
    dense: PreTrainedModel,
    architecture: Architecture,
    windows_NT: Tensor,
    config: BlockwiseConfig,
) -> list[int]:
    """Return the steps of each block: the same for all, or by what its own damage is on the first batch."""
    if config.intensity == "even":
        return _steps_per_block(config.num_steps, architecture.num_layers)
    first_BT = windows_NT[: config.batch_size]
    errors_L = own_errors(pruned, dense, architecture, windows_NT=first_BT, batch_size=config.batch_size)
    return allocate_steps(config.num_steps, list(errors_L))


def _steps_per_block(num_steps: int, num_blocks: int) -> list[int]:
    return [num_steps * (index + 1) // num_blocks - num_steps * index // num_blocks for index in range(num_blocks)]


def _heal_block(
    model: PreTrainedModel,
    architecture: Architecture,
    index: int,
    streams: Streams,
    targets: list[Tensor],
    *,
    masks: Masks,
    config: BlockwiseConfig,
    num_steps: int,
) -> _HealedBlock:
    parameters, masked = _block_parameters(model, architecture, index, masks)
    put_masks_on(masked)
    start = copies(parameters)
    num_learned = sum(parameter.numel() for parameter in parameters) - num_held(masked)
    outputs = advance(model, architecture, index, streams.student, streams.context)
    before = mean_relative_error(outputs, targets)

    def loss_of_step(step: int) -> Tensor:
        batch = step % len(targets)
        output = run_block(model, architecture, index, hidden_BTD=streams.student[batch], context=streams.context)
        return relative_error(output, targets[batch])

    rate = config.learning_rate
    losses = _fit_block(index, parameters, loss_of_step, masked=masked, rate=rate, num_steps=num_steps)
    healed = advance(model, architecture, index, streams.student, streams.context)
    after = mean_relative_error(healed, targets)
    if not after <= before:
        put_back(parameters, start)
        healed, after = outputs, before
    return _HealedBlock(outputs=healed, error_before=before, error_after=after, losses=losses, num_learned=num_learned)


def _fit_block(
    index: int,
    parameters: list[Parameter],
    loss_of_step: Callable[[int], Tensor],
    *,
    masked: Masked,
    rate: float,
    num_steps: int,
) -> tuple[float, ...]:
    if not parameters:
        return ()  # a layer without attention and feed-forward has nothing to heal
    try:
        with trainable(parameters):
            result = fit(
                parameters,
                loss_of_step,
                FitConfig(num_steps=num_steps, learning_rate=rate),
                after_step=lambda: put_masks_on(masked),
            )
    except DivergedError as error:
        raise HealingDivergedError(f"Healing of block {index} diverged.", block=index) from error
    return result.losses


def _block_parameters(
    model: PreTrainedModel, architecture: Architecture, index: int, masks: Masks
) -> tuple[list[Parameter], Masked]:
    parameters = list(model.get_submodule(architecture.layer_path(index)).parameters())
    paths = [slot.path for slot in architecture.layers[index].linears]
    return parameters, masked_weights(model, paths, masks)
