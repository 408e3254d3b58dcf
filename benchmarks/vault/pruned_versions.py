"""Versions of a real decoder over waves of pruning, with or without low-rank healing between them.

A wave sheds the least important survivors of every linear (Wanda, evenly within each row). With healing, every block
then learns low-rank factors on real text, masked, so that it gives the dense block's output; the factors are merged by
the vault's own deterministic merge and the mask is put on, which is what a vault can rebuild from the factors alone.
Shapes: F out_features, D in_features, R rank, N windows, T tokens.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize
from transformers import PreTrainedModel

from birdbone.compress.importance import wanda_scores
from birdbone.compress.shedding import shed_lowest, sparsity
from birdbone.compress.statistics import InputStatistics, collect_statistics
from birdbone.compress.streams import Streams, advance, mean_relative_error, open_streams, relative_error
from birdbone.models import Architecture, LoadedModel, run_block
from birdbone.train import FitConfig
from birdbone.train.loop import fit
from birdbone.vault.store.codec.low_rank import LowRankUpdate, add_low_rank

_BATCH_SIZE = 2
_Q4_BLOCK, _Q4_STEPS = 32, 15
"""The starter is shipped as Q4_1: 16 levels, 15 steps, for each 32 weights of a row."""
_BITS = {torch.float32: ("F32", torch.int32, np.uint32), torch.bfloat16: ("BF16", torch.int16, np.uint16)}
"""The name of each dtype in a safetensors file, and the integers that its bits are."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WaveSettings:
    """What a sequence of versions is made by.

    Attributes:
        fraction: of a row's survivors that a wave sheds.
        dtype: in which the versions are stored, and to which merged weights are rounded.
        rank: of the healing factors; 0 leaves healing out.
        scale: of the product of the factors.
        steps_per_block: optimiser steps a block and wave.
        is_dithered: whether the first version is taken off the grid on which the starter was shipped.
        has_signed_zeros: whether a shed negative weight is stored as -0.0, as multiplying by a mask leaves it.
    """

    num_waves: int
    fraction: float
    dtype: torch.dtype
    rank: int
    scale: float = 2.0
    steps_per_block: int = 6
    learning_rate: float = 3e-3
    is_dithered: bool = False
    has_signed_zeros: bool = False
    seed: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelVersion:
    """One version: its tensors by name as they are stored, and how it came from the one before.

    Attributes:
        updates: by tensor name; empty without healing and for the first version.
        sparsity: share of the linears' weights that are shed.
        healing_errors: mean over blocks of the relative error before and after healing; None without.
    """

    number: int
    tensors: Mapping[str, Tensor]
    updates: Mapping[str, LowRankUpdate]
    sparsity: float
    healing_errors: tuple[float, float] | None


def make_versions(
    loaded: LoadedModel, settings: WaveSettings, *, calibration_NT: Tensor, healing_NT: Tensor
) -> Iterator[ModelVersion]:
    """Yield the dense model and then one version a wave. Changes the weights of `loaded.model`."""
    model, architecture = loaded.model.requires_grad_(False), loaded.architecture
    generator = torch.Generator().manual_seed(settings.seed)
    _prepare_first(model, settings, generator)
    dense = copy.deepcopy(model) if settings.rank else model
    statistics = collect_statistics(model, architecture, calibration_NT, batch_size=_BATCH_SIZE)
    weights = {path: model.get_parameter(f"{path}.weight") for path in architecture.linear_paths}
    masks = {path: torch.ones_like(weight, dtype=torch.bool) for path, weight in weights.items()}
    yield _version(0, model, architecture, masks, settings)
    for wave in range(1, settings.num_waves + 1):
        masks = _shed(weights, masks, statistics, fraction=settings.fraction)
        updates: dict[str, LowRankUpdate] = {}
        errors = None
        if settings.rank:
            updates, errors = _heal(model, dense, architecture, healing_NT, masks, settings, generator)
        _put_masks_on(weights, masks, settings)
        yield _version(wave, model, architecture, masks, settings, updates=updates, errors=errors)


@torch.no_grad()
def _prepare_first(model: PreTrainedModel, settings: WaveSettings, generator: torch.Generator) -> None:
    for parameter in model.parameters():
        if settings.is_dithered and parameter.dim() == 2 and parameter.shape[1] % _Q4_BLOCK == 0:
            parameter.add_(_dither(parameter, generator))
        parameter.copy_(parameter.to(settings.dtype))


def _dither(weight_FD: Tensor, generator: torch.Generator) -> Tensor:
    """Return uniform noise within half a step of the grid of each block: what rounding to four bits took away."""
    blocks = weight_FD.reshape(-1, _Q4_BLOCK)
    step = (blocks.amax(dim=1, keepdim=True) - blocks.amin(dim=1, keepdim=True)) / _Q4_STEPS
    return ((torch.rand(blocks.shape, generator=generator) - 0.5) * step).reshape(weight_FD.shape)


def _shed(
    weights: Mapping[str, Tensor],
    masks: Mapping[str, Tensor],
    statistics: Mapping[str, InputStatistics],
    *,
    fraction: float,
) -> dict[str, Tensor]:
    return {
        path: shed_lowest(wanda_scores(weights[path], statistics[path].mean_square_D), mask_FD, fraction=fraction)
        for path, mask_FD in masks.items()
    }


@torch.no_grad()
def _put_masks_on(weights: Mapping[str, Tensor], masks: Mapping[str, Tensor], settings: WaveSettings) -> None:
    for path, mask_FD in masks.items():
        if settings.has_signed_zeros:
            weights[path].mul_(mask_FD)
        else:
            weights[path].masked_fill_(~mask_FD, 0.0)


def _version(
    number: int,
    model: PreTrainedModel,
    architecture: Architecture,
    masks: Mapping[str, Tensor],
    settings: WaveSettings,
    *,
    updates: Mapping[str, LowRankUpdate] | None = None,
    errors: tuple[float, float] | None = None,
) -> ModelVersion:
    left_out = f"{architecture.head}.weight" if architecture.is_embedding_tied else None
    num_weights = sum(mask_FD.numel() for mask_FD in masks.values())
    return ModelVersion(
        number=number,
        tensors={
            name: tensor.to(settings.dtype, copy=True)
            for name, tensor in model.state_dict().items()
            if name != left_out
        },
        updates={f"{path}.weight": update for path, update in (updates or {}).items()},
        sparsity=sum(sparsity(mask_FD) * mask_FD.numel() for mask_FD in masks.values()) / num_weights,
        healing_errors=errors,
    )


# Healing.


class _LowRank(nn.Module):
    """A linear's weight with a low-rank update and the mask on it."""

    def __init__(self, mask_FD: Tensor, settings: WaveSettings, generator: torch.Generator) -> None:
        super().__init__()
        rows, columns = mask_FD.shape
        start_RD = torch.randn(settings.rank, columns, generator=generator) / columns**0.5
        self.a_RD = nn.Parameter(start_RD)
        self.b_FR = nn.Parameter(torch.zeros(rows, settings.rank))
        self._mask_FD, self._scale = mask_FD, settings.scale

    def forward(self, weight_FD: Tensor) -> Tensor:
        return (weight_FD + self._scale * (self.b_FR @ self.a_RD)) * self._mask_FD

    def update(self) -> LowRankUpdate:
        return LowRankUpdate(a=self.a_RD.detach().numpy(), b=self.b_FR.detach().numpy(), scale=self._scale)


def _heal(
    model: PreTrainedModel,
    dense: PreTrainedModel,
    architecture: Architecture,
    windows_NT: Tensor,
    masks: Mapping[str, Tensor],
    settings: WaveSettings,
    generator: torch.Generator,
) -> tuple[dict[str, LowRankUpdate], tuple[float, float]]:
    """Train factors block by block, merge them into the weights, and return them with the errors before and after.

    Source: LoRA, Hu et al. 2021, arXiv:2106.09685; the target of a block is the dense block's output, as in
    `birdbone.compress.healing`.
    """
    streams = open_streams(model, dense, architecture, windows_NT, _BATCH_SIZE)
    updates: dict[str, LowRankUpdate] = {}
    errors: list[tuple[float, float]] = []
    for index in range(architecture.num_layers):
        targets = advance(dense, architecture, index, streams.dense, streams.context)
        paths = [slot.path for slot in architecture.layers[index].linears]
        low_ranks = {path: _LowRank(masks[path], settings, generator) for path in paths}
        for path, low_rank in low_ranks.items():
            parametrize.register_parametrization(model.get_submodule(path), "weight", low_rank)
        errors.append(_fit_block(model, architecture, index, streams, targets, low_ranks, settings))
        outputs = advance(model, architecture, index, streams.student, streams.context)
        for path, low_rank in low_ranks.items():
            parametrize.remove_parametrizations(model.get_submodule(path), "weight", leave_parametrized=False)
            updates[path] = low_rank.update()
            _merge(model.get_parameter(f"{path}.weight"), updates[path], settings.dtype)
        streams = Streams(dense=targets, student=outputs, context=streams.context)
    before, after = (sum(side) / len(side) for side in zip(*errors, strict=True))
    return updates, (before, after)


def _fit_block(
    model: PreTrainedModel,
    architecture: Architecture,
    index: int,
    streams: Streams,
    targets: list[Tensor],
    low_ranks: Mapping[str, _LowRank],
    settings: WaveSettings,
) -> tuple[float, float]:
    """Fit the factors in place and return the block's error before and after; a fit that made it worse is undone."""

    def loss_of_step(step: int) -> Tensor:
        batch = step % len(targets)
        output = run_block(model, architecture, index, hidden_BTD=streams.student[batch], context=streams.context)
        return relative_error(output, targets[batch])

    def error() -> float:
        return mean_relative_error(advance(model, architecture, index, streams.student, streams.context), targets)

    before = error()
    parameters = [parameter for low_rank in low_ranks.values() for parameter in low_rank.parameters()]
    fit(parameters, loss_of_step, FitConfig(num_steps=settings.steps_per_block, learning_rate=settings.learning_rate))
    after = error()
    if after <= before:
        return before, after
    for low_rank in low_ranks.values():
        nn.init.zeros_(low_rank.b_FR)
    return before, before


@torch.no_grad()
def _merge(weight_FD: Tensor, update: LowRankUpdate, dtype: torch.dtype) -> None:
    """Add the update to the weight as the vault will when it rebuilds it: on the bits of the stored weight."""
    name, as_integers, unsigned = _BITS[dtype]
    bits = weight_FD.to(dtype).contiguous().view(as_integers).numpy().view(unsigned)
    merged = add_low_rank(bits, update, dtype=name)
    weight_FD.copy_(torch.from_numpy(merged.view(f"i{merged.itemsize}")).view(dtype))
