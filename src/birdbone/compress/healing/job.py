"""Healing by whichever way the settings name, judged on windows that it does not learn from.

Shapes: N windows, T tokens.

What was learned is kept only if the loss fell on windows held back from it; else the model is put back as it was.
Block-wise healing decides block by block on what it learned from, so it holds nothing back of itself; where windows are
given, it is judged on them as the others are, by the divergence from the dense model.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import assert_never

import torch
from jaxtyping import Int
from torch import Tensor
from transformers import PreTrainedModel

from birdbone.compress.config import BlockwiseConfig, DistillConfig, HealConfig, LoraConfig, QloraConfig
from birdbone.compress.errors import ModelsDifferError, NoCalibrationDataError, TooFewWindowsError
from birdbone.compress.healing.adapters import Placed
from birdbone.compress.healing.blockwise import heal_blocks
from birdbone.compress.healing.distillation import distill
from birdbone.compress.healing.lessons import Lessons
from birdbone.compress.healing.lora import heal_by_adapters
from birdbone.compress.healing.masking import Masks, copies, decoder_parameters, put_back
from birdbone.compress.healing.report import HealReport
from birdbone.evaluate.perplexity import evaluation_mode
from birdbone.evaluate.readout import find_readout
from birdbone.models import Architecture, describe_architecture
from birdbone.watch import MetricSink

Progress = Callable[[int, int], None]
Windows = Int[Tensor, "N T"]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Split:
    learning_NT: Windows
    deciding_NT: Windows | None


def heal_model(
    pruned: PreTrainedModel,
    dense: PreTrainedModel,
    architecture: Architecture,
    *,
    windows_NT: Windows,
    masks: Masks,
    config: HealConfig,
    deciding_NT: Windows | None = None,
    progress: Progress = lambda _done, _total: None,
    sink: MetricSink | None = None,
    should_stop: Callable[[], bool] = lambda: False,
    keep_adapters: Callable[[Placed], None] = lambda _placed: None,
) -> HealReport:
    """Heal `pruned` in place by the way that the settings name, and report what that brought and cost.

    No weight that a mask drops comes back. The same arguments give the same bits on the same machine.

    Args:
        windows_NT: healing tokens.
        masks: by the linear's path, True where a weight survives; a linear without an entry is free.
        deciding_NT: windows that nothing learns from and on which the loss must fall; by default the last
            `config.num_deciding_windows` of `windows_NT`, and none for block-wise healing.
        progress: called with steps (block-wise: blocks) done and all.
        sink: receives `healing_loss` step by step, or `healing_error` block by block.
        should_stop: asked before each step, block-wise before each block; what was learned until then is judged.
        keep_adapters: is handed the adapters of `lora` and `qlora` as they learned, before they are merged.

    Raises:
        NoCalibrationDataError: no windows.
        TooFewWindowsError: none are left to learn from.
        ModelsDifferError: the two models differ in vocabulary or width, in layers where these are compared, or a
            mask does not fit its linear.
        RankError, BlockWidthError: as `lora` says; nothing was changed.
        HealingDivergedError: no rate kept the loss finite.
    """
    _require_pair(pruned, dense, architecture, masks, config)
    split = _split(windows_NT, deciding_NT, config)
    began = time.process_time()
    start = None if split.deciding_NT is None else copies(decoder_parameters(pruned, architecture).values())
    before = _judge(pruned, dense, split, config)
    match config:
        case BlockwiseConfig():
            heal: Callable[..., HealReport] = heal_blocks
        case DistillConfig():
            heal = distill
        case LoraConfig() | QloraConfig():
            heal = partial(heal_by_adapters, keep_adapters=keep_adapters)
        case _:
            assert_never(config)
    report = heal(
        pruned,
        dense,
        architecture,
        windows_NT=split.learning_NT,
        masks=masks,
        config=config,
        progress=progress,
        sink=sink,
        should_stop=should_stop,
    )
    after = _judge(pruned, dense, split, config)
    is_kept = before is None or after is None or after <= before
    if not is_kept and start is not None:
        put_back(decoder_parameters(pruned, architecture).values(), start)
    return replace(
        report,
        loss_before=before,
        loss_after=after,
        is_kept=is_kept,
        cpu_seconds=time.process_time() - began,
    )


def _split(windows_NT: Windows, deciding_NT: Windows | None, config: HealConfig) -> _Split:
    if windows_NT.numel() == 0:
        raise NoCalibrationDataError("There are no windows to heal on.", hint="Give `heal.num_windows` at least 1.")
    if deciding_NT is not None or isinstance(config, BlockwiseConfig):
        return _Split(learning_NT=windows_NT, deciding_NT=deciding_NT)
    num_learning = len(windows_NT) - config.num_deciding_windows
    if num_learning < 1:
        raise TooFewWindowsError(
            f"Of {len(windows_NT)} healing windows {config.num_deciding_windows} are held back to decide; "
            "none is left to learn from.",
            hint="Raise `heal.num_windows`, or lower `heal.num_deciding_windows`.",
        )
    return _Split(learning_NT=windows_NT[:num_learning], deciding_NT=windows_NT[num_learning:])


@torch.no_grad()
def _judge(pruned: PreTrainedModel, dense: PreTrainedModel, split: _Split, config: HealConfig) -> float | None:
    if split.deciding_NT is None:
        return None
    share = 1.0 if isinstance(config, BlockwiseConfig) else config.distill_share
    lessons = Lessons(find_readout(dense), split.deciding_NT, batch_size=1, distill_share=share)
    with evaluation_mode(pruned):
        return lessons.mean_loss(find_readout(pruned))


def _require_pair(
    pruned: PreTrainedModel, dense: PreTrainedModel, architecture: Architecture, masks: Masks, config: HealConfig
) -> None:
    """Raise unless the dense model can teach: the same tokens and width, and block for block where that is asked for.

    Inside the blocks a model that lost structures differs from the one that teaches it.
    """
    ours, theirs = (tuple(model.get_input_embeddings().weight.shape) for model in (pruned, dense))
    if ours != theirs:
        raise ModelsDifferError(
            f"The embedding is {_shape_words(ours)} in the pruned model and {_shape_words(theirs)} in the dense one."
        )
    num_layers = describe_architecture(dense).num_layers
    if _needs_blocks(config) and num_layers != architecture.num_layers:
        raise ModelsDifferError(
            f"The pruned model has {architecture.num_layers} layers and the dense one {num_layers}: "
            "they cannot be healed block by block, nor by the severity of each.",
            hint="Heal by `distill`, or by adapters with `intensity: even`.",
        )
    for path, mask_FD in masks.items():
        shape = tuple(pruned.get_parameter(f"{path}.weight").shape)
        if shape != tuple(mask_FD.shape):
            raise ModelsDifferError(
                f"The mask of {path} is {_shape_words(tuple(mask_FD.shape))}, its weight {_shape_words(shape)}."
            )


def _needs_blocks(config: HealConfig) -> bool:
    match config:
        case BlockwiseConfig():
            return True
        case DistillConfig():
            return False
        case LoraConfig() | QloraConfig():
            return config.intensity == "severity"
        case _:
            assert_never(config)


def _shape_words(shape: tuple[int, ...]) -> str:
    return " x ".join(str(size) for size in shape)
