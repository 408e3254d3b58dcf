"""Healing by masked low-rank updates, beside float weights (LoRA) or beside weights in 4 bits (QLoRA)."""

from __future__ import annotations

from collections.abc import Callable
from typing import assert_never

import torch
from jaxtyping import Int
from torch import Tensor
from torch.nn import Parameter
from transformers import PreTrainedModel

from birdbone.compress.config import LoraConfig, QloraConfig
from birdbone.compress.damage import allocate_steps, own_errors
from birdbone.compress.errors import BlockWidthError, RankError
from birdbone.compress.healing.adapters import (
    FrozenWeight,
    Placed,
    merge_adapters,
    put_adapters,
    take_adapters_out,
)
from birdbone.compress.healing.learning import learn
from birdbone.compress.healing.lessons import Lessons
from birdbone.compress.healing.masking import Masks, decoder_parameters, masked_weights, put_masks_on
from birdbone.compress.healing.nf4 import quantize_nf4
from birdbone.compress.healing.report import HealReport
from birdbone.compress.quantize import fit_grid, round_to_grid
from birdbone.evaluate.readout import find_readout
from birdbone.models import Architecture
from birdbone.models.gguf import BLOCK_SIZE, GgufType
from birdbone.watch import MetricSink


def heal_by_adapters(
    pruned: PreTrainedModel,
    dense: PreTrainedModel,
    architecture: Architecture,
    *,
    windows_NT: Int[Tensor, "N T"],
    masks: Masks,
    config: LoraConfig | QloraConfig,
    progress: Callable[[int, int], None] = lambda _done, _total: None,
    sink: MetricSink | None = None,
    should_stop: Callable[[], bool] = lambda: False,
    keep_adapters: Callable[[Placed], None] = lambda _placed: None,
) -> HealReport:
    """Let low-rank updates of `pruned` learn and merge them, in place; no weight that a mask drops comes back.

    Args:
        windows_NT: healing tokens; whole batches of `config.batch_size` are used, again and again.
        progress: called with steps done and steps in all.
        sink: receives each step's loss as `healing_loss`.
        should_stop: asked before each step; what was learned until then is merged.
        keep_adapters: is handed the adapters as they learned, before they are merged.

    Raises:
        RankError: the rank is larger than a side of a linear, or no linear has one of the roles; nothing was changed.
        BlockWidthError: `q4_0`, and a linear whose width is no multiple of 32; nothing was changed.
        HealingDivergedError: the loss was not finite at any rate; the model is as it was, but for the masks.
    Source: as `adapters.MaskedLora` says; norms and biases: Zimmer et al. 2023 (PERP), arXiv:2312.15230, sec. 3; the
    base in 4 bits: Dettmers et al. 2023 (QLoRA), arXiv:2305.14314, eq. 5.
    """
    ranks = _ranks(pruned, dense, architecture, windows_NT, config)
    put_masks_on(masked_weights(pruned, architecture.linear_paths, masks))
    lessons = Lessons(find_readout(dense), windows_NT, batch_size=config.batch_size, distill_share=config.distill_share)
    placed = put_adapters(
        pruned,
        {path: _frozen(pruned.get_parameter(f"{path}.weight"), path, config) for path in ranks},
        masks,
        ranks=ranks,
        alpha=config.alpha,
        generator=torch.Generator().manual_seed(config.seed),
    )
    parameters = placed.parameters + (_norms_and_biases(pruned, architecture) if config.should_train_norms else [])
    try:
        losses = learn(pruned, parameters, lessons, config, progress=progress, sink=sink, should_stop=should_stop)
        keep_adapters(placed)
    except BaseException:
        take_adapters_out(pruned, placed)
        raise
    merge_adapters(pruned, placed, onto_base=config.kind == "qlora" and config.merges_onto == "base")
    return HealReport(
        kind=config.kind,
        losses=(losses,),
        num_steps=len(losses),
        num_tokens=len(losses) * lessons.num_tokens,
        num_learned=sum(parameter.numel() for parameter in parameters),
    )


def _ranks(
    pruned: PreTrainedModel,
    dense: PreTrainedModel,
    architecture: Architecture,
    windows_NT: Tensor,
    config: LoraConfig | QloraConfig,
) -> dict[str, int]:
    """Return the rank of each linear that has one of the roles."""
    ranks_L = [config.rank] * architecture.num_layers
    if config.intensity == "severity":
        first_BT = windows_NT[: config.batch_size]
        errors_L = own_errors(pruned, dense, architecture, windows_NT=first_BT, batch_size=config.batch_size)
        ranks_L = allocate_steps(sum(ranks_L), list(errors_L))
    slots = [
        (slot, max(1, rank))
        for layer, rank in zip(architecture.layers, ranks_L, strict=True)
        for slot in layer.linears
        if slot.role in config.roles
    ]
    if not slots:
        raise RankError(f"The model has no linear of the roles {', '.join(config.roles)}.")
    for slot, _ in slots:
        if config.rank > (side := min(slot.out_features, slot.in_features)):
            raise RankError(f"{slot.path} takes ranks from 1 to {side}; {config.rank} came.", rank=config.rank)
    # What severity gives a layer beyond the smaller side of one of its linears is not given.
    return {slot.path: min(rank, slot.out_features, slot.in_features) for slot, rank in slots}


def _frozen(weight_FD: Parameter, path: str, config: LoraConfig | QloraConfig) -> FrozenWeight:
    match config:
        case LoraConfig():
            return weight_FD.detach()
        case QloraConfig():
            return _in_4_bits(weight_FD.detach(), path, config)
        case _:
            assert_never(config)


def _in_4_bits(w_FD: Tensor, path: str, config: QloraConfig) -> FrozenWeight:
    match config.base:
        case "nf4":
            return quantize_nf4(
                w_FD, block_size=config.block_size, should_quantize_scales=config.should_quantize_scales
            )
        case "q4_0":
            return _on_q4_0(w_FD, path)
        case _:
            assert_never(config.base)


def _on_q4_0(w_FD: Tensor, path: str) -> FrozenWeight:
    if w_FD.shape[1] % BLOCK_SIZE:
        raise BlockWidthError(f"{path}: a width of {w_FD.shape[1]} does not divide into blocks of {BLOCK_SIZE}.")
    return round_to_grid(w_FD, fit_grid(w_FD, torch.ones(w_FD.shape[1]), GgufType.Q4_0))


def _norms_and_biases(model: PreTrainedModel, architecture: Architecture) -> list[Parameter]:
    """Return the parameters of the decoder that are no matrices; those of adapted linears are their biases."""
    named = decoder_parameters(model, architecture)
    return [parameter for parameter in named.values() if parameter.ndim == 1]
