"""Learning which way each weight rounds, block by block, from the dense block's output (AutoRound).

Shapes: F out_features, D in_features, B = D / 32 blocks, K = 32, N windows, T tokens.

Theory of operation. A code is the rounded sum of a starting point and an offset; the offset may move the code by one
step at most, and the block's scale may shrink or grow by a few per cent. Both learn by the sign of their gradient, as a
step of fixed size is what a bounded offset needs; rounding passes gradients through. The loss is that of the whole
decoder block, from the inputs that the rounded model will really see to the dense block's output, so errors of one
linear can be taken up by the next. The best state seen on windows not learned from is kept; the start is among them, so
no block gets worse.
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

from birdbone.compress.config import RoundingConfig
from birdbone.compress.errors import NoCalibrationDataError
from birdbone.compress.quantize.grids import Grid
from birdbone.compress.streams import Streams, advance, mean_relative_error, open_streams, relative_error
from birdbone.models import Architecture
from birdbone.models.gguf import BLOCK_SIZE, GgufType, QuantizedTensor, RoundedTensor

_IN_CELL = 0.49
_MAX_GAIN = 0.1
"""A scale stays within this share of where it began."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LearnedRounding:
    """The tensors after learning, and each block's error on unseen windows before and after."""

    quantized: Mapping[str, RoundedTensor]
    errors_before: tuple[float, ...]
    errors_after: tuple[float, ...]


def learn_rounding(
    model: PreTrainedModel,
    dense: PreTrainedModel,
    architecture: Architecture,
    *,
    quantized: Mapping[str, RoundedTensor],
    weights: Mapping[str, Float[Tensor, "F D"]],
    windows_NT: Int[Tensor, "N T"],
    config: RoundingConfig,
    progress: Callable[[int, int], None] = lambda _done, _total: None,
) -> LearnedRounding:
    """Return the tensors with learned codes and scales, and leave `model` holding what they dequantise to.

    Args:
        model: any state of the model; the linears named in `quantized` are set to what their codes say.
        dense: the teacher. Not changed.
        quantized: by the weight's name; those that are no linear of a block, or have 8 bits or blocks of 256,
            stay as they are.
        weights: what the codes were rounded from, by the same names. A weight of 0 stays 0 on a grid that holds it.
        windows_NT: tokens to learn on and, the last quarter, to decide on; whole batches are used.
        progress: called with blocks done and blocks in all.

    Raises:
        NoCalibrationDataError: under two batches of windows.
    Source: Cheng et al. 2023 (SignRound, AutoRound), arXiv:2309.05516, eq. 3 to 5. Symbols: V = offset, α = 1 + gain.
    Differs: it starts from given codes (feedback's, say) and not from the nearest: where the weight lies within the
    code's own cell, or at that edge of the cell which is nearest to it; one gain for a block of GGUF.
    """
    if len(windows_NT) < 2 * config.learning_batch_size:
        raise NoCalibrationDataError(
            f"Learning to round needs {2 * config.learning_batch_size} windows; `windows_NT` has {len(windows_NT)}.",
            hint="Give more windows, or lower `learning_batch_size`.",
        )
    _load(model, quantized)
    streams = open_streams(model, dense, architecture, windows_NT, config.learning_batch_size)
    learned, before, after = dict(quantized), [], []
    for index in range(architecture.num_layers):
        targets = advance(dense, architecture, index, streams.dense, streams.context)
        task = _Task(model=model, architecture=architecture, index=index, streams=streams, targets=targets)
        found, error_before, error_after = _learn_block(task, learned, weights, config)
        learned |= found
        before.append(error_before)
        after.append(error_after)
        outputs = advance(model, architecture, index, streams.student, streams.context)
        streams = Streams(dense=targets, student=outputs, context=streams.context)
        progress(index + 1, architecture.num_layers)
    return LearnedRounding(quantized=learned, errors_before=tuple(before), errors_after=tuple(after))


@dataclass(frozen=True, slots=True, kw_only=True)
class _Task:
    """One decoder block with what goes in and what should come out."""

    model: PreTrainedModel
    architecture: Architecture
    index: int
    streams: Streams
    targets: list[Tensor]

    @property
    def prefix(self) -> str:
        return f"{self.architecture.layer_path(self.index)}."

    @property
    def num_learned(self) -> int:
        """How many batches are learned from; the rest, a quarter and at least one, decides."""
        return len(self.targets) - max(1, len(self.targets) // 4)

    def loss(self, batch: int, weights: Mapping[str, Tensor]) -> Tensor:
        """Return the error of a batch with these weights in place of the block's own."""
        layer = self.model.get_submodule(self.architecture.layer_path(self.index))
        fixed = {name: parameter.detach() for name, parameter in layer.named_parameters()}
        given = {name.removeprefix(self.prefix): weight for name, weight in weights.items()}
        arguments = dict(self.streams.context.layer_arguments[self.index])
        output = functional_call(layer, {**fixed, **given}, (self.streams.student[batch],), arguments)
        return relative_error(output, self.targets[batch])

    @torch.no_grad()
    def unseen_error(self) -> float:
        """Return the error of the model as it is, on the batches that nothing was learned from."""
        unseen = slice(self.num_learned, None)
        outputs = advance(self.model, self.architecture, self.index, self.streams.student[unseen], self.streams.context)
        return mean_relative_error(outputs, self.targets[unseen])


class _SoftTensor:
    """A tensor whose codes and scales can learn."""

    def __init__(self, tensor: QuantizedTensor, w_FD: Tensor) -> None:
        self.tensor = tensor
        self._grid = Grid.of(tensor)
        self._start_FBK, self._width_FBK = _start(tensor, self._grid, w_FD)
        self.offset_FBK = Parameter(torch.zeros(*tensor.scales.shape, BLOCK_SIZE))
        self.gain_FB = Parameter(torch.zeros(tuple(tensor.scales.shape)))

    def weight(self) -> Float[Tensor, "F D"]:
        """Return what would be stored, with gradients for offset and gain."""
        codes_FBK = _round_through(self._latent(), self.tensor.type)
        scales_FB = self._grid.scales_FB * (1 + self.gain_FB)
        return (codes_FBK * scales_FB[..., None] + self._grid.mins_FB[..., None]).flatten(1)

    @torch.no_grad()
    def stored(self) -> QuantizedTensor:
        """Return codes and fp16 scales as they are now."""
        codes_FBK = _flat_codes(self._latent(), self.tensor.type)
        scales_FB = (self._grid.scales_FB * (1 + self.gain_FB)).half().float()
        return dataclasses.replace(self.tensor, codes=codes_FBK.flatten(1).to(torch.int8), scales=scales_FB)

    @torch.no_grad()
    def step(self, rate: float) -> None:
        """Move each number by `rate` against the sign of its gradient, within its bounds."""
        for parameter, share, bound in ((self.offset_FBK, 1.0, 1.0), (self.gain_FB, 0.1, _MAX_GAIN)):
            if parameter.grad is not None:
                parameter.sub_(parameter.grad.sign(), alpha=rate * share).clamp_(-bound, bound)
                parameter.grad = None

    def _latent(self) -> Tensor:
        return self._start_FBK + self.offset_FBK * self._width_FBK


def _start(tensor: QuantizedTensor, grid: Grid, w_FD: Tensor) -> tuple[Tensor, Tensor]:
    """Return where each weight begins, within its code's cell, and how far an offset of 1 moves it."""
    codes_FBK = tensor.codes.float().view(*tensor.scales.shape, BLOCK_SIZE)
    width_FBK = _step_widths(codes_FBK, tensor.type)
    w_FBK, scales_FB1 = w_FD.float().view_as(codes_FBK), grid.scales_FB[..., None]
    scaled_FBK = (w_FBK - grid.mins_FB[..., None]) / torch.where(scales_FB1 == 0, torch.inf, scales_FB1)
    nearby_FBK = (scaled_FBK - codes_FBK).clamp(-_IN_CELL * width_FBK, _IN_CELL * width_FBK)
    inside_FBK = codes_FBK + nearby_FBK
    start_FBK = torch.where(_flat_codes(inside_FBK, tensor.type) == codes_FBK, inside_FBK, codes_FBK)
    is_free_FBK = (w_FBK != 0) | (not tensor.type.holds_zero)
    return torch.where(is_free_FBK, start_FBK, codes_FBK), width_FBK * is_free_FBK


def _step_widths(codes_FBK: Tensor, kind: GgufType) -> Tensor:
    """Return the distance to the next code, where steps are uneven the mean of both sides."""
    if not kind.code_values:
        return torch.ones_like(codes_FBK)
    table = codes_FBK.new_tensor(kind.code_values)
    gaps = torch.cat((table[1:2] - table[:1], (table[2:] - table[:-2]) / 2, table[-1:] - table[-2:-1]))
    return gaps[torch.searchsorted(table, codes_FBK.contiguous())]


def _round_through(latent_FBK: Tensor, kind: GgufType) -> Tensor:
    """Return the nearest codes; their gradient is that of the latent numbers."""
    return latent_FBK + (_flat_codes(latent_FBK, kind) - latent_FBK).detach()


def _flat_codes(latent_FBK: Tensor, kind: GgufType) -> Tensor:
    """Return the codes nearest to numbers on their own scale."""
    ones_FB = torch.ones(latent_FBK.shape[:2])
    return Grid(type=kind, scales_FB=ones_FB, mins_FB=torch.zeros_like(ones_FB)).codes(latent_FBK)


def _learn_block(
    task: _Task, quantized: Mapping[str, RoundedTensor], weights: Mapping[str, Tensor], config: RoundingConfig
) -> tuple[dict[str, QuantizedTensor], float, float]:
    """Return the block's tensors after learning, which the model then holds, and its error before and after."""
    names = [f"{slot.path}.weight" for slot in task.architecture.layers[task.index].linears]
    held = {name: quantized[name] for name in names if name in quantized}
    best = {
        name: each for name, each in held.items() if isinstance(each, QuantizedTensor) and each.type != GgufType.Q8_0
    }
    before = least = task.unseen_error()
    soft = {name: _SoftTensor(tensor, weights[name]) for name, tensor in best.items()}
    for step in range(config.num_learning_steps if soft else 0):
        _step(task, soft, step, num_steps=config.num_learning_steps)
        if (step + 1) % max(1, config.num_learning_steps // 4) == 0:
            stored = {name: each.stored() for name, each in soft.items()}
            _load(task.model, stored)
            error = task.unseen_error()
            if error < least:
                best, least = stored, error
    _load(task.model, best)
    return best, before, least


def _step(task: _Task, soft: Mapping[str, _SoftTensor], step: int, *, num_steps: int) -> None:
    """Learn from one batch; the rate falls in a line, and all steps together could move an offset by a whole code."""
    loss = task.loss(step % task.num_learned, {name: each.weight() for name, each in soft.items()})
    if not bool(loss.isfinite()):
        return
    loss.backward()  # type: ignore[no-untyped-call]
    rate = 2 * (1 - step / num_steps) / num_steps
    for each in soft.values():
        each.step(rate)


@torch.no_grad()
def _load(model: PreTrainedModel, quantized: Mapping[str, RoundedTensor]) -> None:
    for name, tensor in quantized.items():
        model.get_parameter(name).copy_(tensor.dequantize())
