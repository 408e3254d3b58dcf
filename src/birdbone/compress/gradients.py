"""Gradients of the loss for every linear's weights, one block's in memory at a time.

Shapes: N windows, B windows of a batch, T tokens, D in_features, F out_features, V vocabulary.

Theory of operation. `torch` would keep every activation of the whole model until the backward pass, and then one
gradient a weight and window. Here the plain pass that takes the other statistics also records what entered each block
(`recording_block_inputs`: one tensor of the hidden size a block). Then the blocks are gone through from the last to
the first: each is run once more, the gradient at its output is sent back through it, and what arrives at its input is
the next block's. A linear's gradient on one window is δᵀx with its input x and the gradient δ at its output, so hooks
make it window by window and add it to two sums, of g and of g²; no weight needs a gradient of its own. It costs one
forward and one backward beyond the plain pass.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.hooks import RemovableHandle
from transformers import PreTrainedModel

from birdbone.compress.errors import NoCalibrationDataError, NonFiniteStatisticsError
from birdbone.models import Architecture, decoder_layers, finish_blocks


@dataclass(frozen=True, slots=True, kw_only=True)
class GradientStatistics:
    """First and second moment, over windows, of the gradient of a window's mean next-token loss."""

    mean_FD: Float[Tensor, "F D"]
    """The gradient of the mean loss over all windows."""
    mean_square_FD: Float[Tensor, "F D"]
    """The diagonal of the empirical Fisher information, a window taken as one sample."""
    num_windows: int


@dataclass(frozen=True, slots=True)
class BlockInputs:
    """What entered each block on each batch of a pass, and what left the last one."""

    hidden: list[list[Tensor]] = field(default_factory=list)
    """By block, then by batch: (B, T, hidden size)."""
    arguments: list[list[Mapping[str, Any]]] = field(default_factory=list)
    """By block, then by batch: what the block received beside."""
    last: list[Tensor] = field(default_factory=list)
    """By batch: the output of the last block."""


@contextlib.contextmanager
def recording_block_inputs(model: PreTrainedModel, architecture: Architecture) -> Iterator[BlockInputs]:
    """Record what enters each block while the model runs inside the block; each run of the model is one batch."""
    layers = decoder_layers(model, architecture)
    inputs = BlockInputs([[] for _ in layers], [[] for _ in layers], [])

    def record(index: int) -> Callable[..., None]:
        def keep(_layer: nn.Module, given: tuple[Tensor, ...], keywords: dict[str, Any]) -> None:
            inputs.hidden[index].append(given[0].detach())
            inputs.arguments[index].append(keywords)

        return keep

    handles = [layer.register_forward_pre_hook(record(index), with_kwargs=True) for index, layer in enumerate(layers)]
    handles.append(layers[-1].register_forward_hook(lambda _layer, _given, output: inputs.last.append(output.detach())))
    try:
        yield inputs
    finally:
        for handle in handles:
            handle.remove()


def collect_gradients(
    model: PreTrainedModel,
    architecture: Architecture,
    windows_NT: Int[Tensor, "N T"],
    *,
    batch_size: int = 4,
    progress: Callable[[int, int], None] = lambda _done, _total: None,
) -> dict[str, GradientStatistics]:
    """Return the gradient statistics of every linear by path: two tensors of the size of each weight.

    The model runs as it is and is left unchanged, the gradients that its parameters hold included.

    Raises:
        NoCalibrationDataError, NonFiniteStatisticsError: see `backward_blocks`.
    """
    with recording_block_inputs(model, architecture) as inputs, torch.no_grad():
        for start in range(0, len(windows_NT), batch_size):
            model.base_model(input_ids=windows_NT[start : start + batch_size], use_cache=False)
    found: dict[str, GradientStatistics] = {}
    for block in backward_blocks(model, architecture, windows_NT, inputs, progress=progress):
        found |= block
    return {path: found[path] for path in architecture.linear_paths}


def backward_blocks(
    model: PreTrainedModel,
    architecture: Architecture,
    windows_NT: Int[Tensor, "N T"],
    inputs: BlockInputs,
    *,
    progress: Callable[[int, int], None] = lambda _done, _total: None,
) -> Iterator[dict[str, GradientStatistics]]:
    """Yield the gradient statistics of each block's linears by path, the last block first.

    Args:
        windows_NT: calibration tokens of at least 2 a window, all of them, in the order in which they were run.
        inputs: what `recording_block_inputs` kept of running all but the head on them. Emptied as blocks are done.
        progress: called with blocks done and blocks in all.

    Raises:
        NoCalibrationDataError: no windows, or nothing to predict in them.
        NonFiniteStatisticsError: a gradient is NaN or infinite (names the first layer).
    """
    if windows_NT.numel() == 0 or windows_NT.shape[1] < 2:
        raise NoCalibrationDataError("There are no calibration windows with a token to predict: no loss, no gradient.")
    delta = _loss_gradients(model, architecture, windows_NT, inputs.last)
    inputs.last.clear()
    for index in reversed(range(architecture.num_layers)):
        sums = {slot.path: _new_sums(model, slot.path) for slot in architecture.layers[index].linears}
        layer = model.get_submodule(architecture.layer_path(index))
        with _frozen(layer), _summing(model, sums, window=windows_NT.shape[1]):
            for batch, hidden_BTD in enumerate(inputs.hidden[index]):
                delta[batch] = _send_back(layer, hidden_BTD, inputs.arguments[index][batch], delta[batch])
        inputs.hidden[index].clear()
        inputs.arguments[index].clear()
        yield {path: sums[path].statistics(path, num_windows=len(windows_NT)) for path in sums}
        progress(architecture.num_layers - index, architecture.num_layers)


@dataclass(frozen=True, slots=True)
class _Sums:
    """Sums of one linear's gradient and of its square, over windows."""

    first_FD: Tensor
    second_FD: Tensor

    def add(self, x: Tensor, delta: Tensor, *, window: int) -> None:
        """Add the gradient of each window; some families put windows and tokens into one dimension."""
        x_BTD = x.float().reshape(-1, window, x.shape[-1])
        delta_BTF = delta.float().reshape(-1, window, delta.shape[-1])
        for x_TD, delta_TF in zip(x_BTD, delta_BTF, strict=True):
            gradient_FD = delta_TF.T @ x_TD
            self.first_FD.add_(gradient_FD)
            self.second_FD.addcmul_(gradient_FD, gradient_FD)

    def statistics(self, path: str, *, num_windows: int) -> GradientStatistics:
        """Return the moments. Changes the sums."""
        self.first_FD.div_(num_windows)
        self.second_FD.div_(num_windows)
        if not bool(self.second_FD.isfinite().all()):
            raise NonFiniteStatisticsError(f"The gradients of {path} are not finite on the text.", layer=path)
        return GradientStatistics(mean_FD=self.first_FD, mean_square_FD=self.second_FD, num_windows=num_windows)


def _new_sums(model: PreTrainedModel, path: str) -> _Sums:
    zeros_FD = torch.zeros_like(model.get_parameter(f"{path}.weight"), dtype=torch.float32, requires_grad=False)
    return _Sums(zeros_FD, zeros_FD.clone())


@contextlib.contextmanager
def _summing(model: PreTrainedModel, sums: Mapping[str, _Sums], *, window: int) -> Iterator[None]:
    """Add to `sums` whenever a gradient comes back through one of their linears."""
    handles: list[RemovableHandle] = []
    try:
        for path, sums_of_path in sums.items():
            linear: nn.Module = model.get_submodule(path)
            handles.append(linear.register_forward_hook(_catch(sums_of_path, window=window)))
        yield
    finally:
        for handle in handles:
            handle.remove()


def _catch(sums: _Sums, *, window: int) -> Callable[..., None]:
    def catch(_linear: nn.Module, given: tuple[Tensor, ...], output: Tensor) -> None:
        x = given[0].detach()
        output.register_hook(lambda delta: sums.add(x, delta, window=window))  # type: ignore[no-untyped-call]

    return catch


def _send_back(layer: nn.Module, hidden_BTD: Tensor, arguments: Mapping[str, Any], delta_BTD: Tensor) -> Tensor:
    """Return the gradient at the block's input."""
    with torch.enable_grad():
        entering_BTD = hidden_BTD.clone().requires_grad_(True)
        output_BTD = layer(entering_BTD, **arguments)
        (gradient_BTD,) = torch.autograd.grad(output_BTD, entering_BTD, delta_BTD)
    return gradient_BTD


def _loss_gradients(
    model: PreTrainedModel, architecture: Architecture, windows_NT: Tensor, last: Sequence[Tensor]
) -> list[Tensor]:
    """Return, by batch, the gradient of each window's own mean loss at the output of the last block."""
    tokens = iter(windows_NT)
    deltas = []
    for hidden_BTD in last:
        windows = [_loss_gradient(model, architecture, hidden_TD, next(tokens)) for hidden_TD in hidden_BTD]
        deltas.append(torch.stack(windows))
    return deltas


def _loss_gradient(model: PreTrainedModel, architecture: Architecture, hidden_TD: Tensor, token_T: Tensor) -> Tensor:
    with torch.enable_grad(), _frozen(model):
        hidden_1TD = hidden_TD[None].clone().requires_grad_(True)
        logits_TV = finish_blocks(model, architecture, hidden_1TD)[0, :-1]
        loss = functional.cross_entropy(logits_TV.float(), token_T[1:])
        (gradient_1TD,) = torch.autograd.grad(loss, hidden_1TD)
    return gradient_1TD[0]


@contextlib.contextmanager
def _frozen(module: nn.Module) -> Iterator[None]:
    """Let no parameter ask for a gradient inside the block: sums are made by hooks, and autograd saves the work."""
    asking = [parameter for parameter in module.parameters() if parameter.requires_grad]
    try:
        for parameter in asking:
            parameter.requires_grad_(False)
        yield
    finally:
        for parameter in asking:
            parameter.requires_grad_(True)
