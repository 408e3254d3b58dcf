"""One pass over calibration text that gives every statistic the craft needs. Shapes: D in_features, T tokens.

Theory of operation. Wanda's score, the imatrix of GGUF (both E[x²]), and the Hessian of a layer's output error (XᵀX)
are all functions of one matrix, the Gram matrix of the layer's inputs. It is collected once for every *input group*
(q, k and v read the same tensor). Only its lower half is accumulated, in column panels, which halves the arithmetic.
The head is not run, though its inputs count. The pass therefore costs little more than a plain forward
(`benchmarks/compress/`).

The first token of a window is the attention sink: every later token reads its keys. Yet it is one token in hundreds,
and in deep layers its inputs are quiet, so a plain Gram matrix ignores it, and a solver that feeds errors on spoils it:
on the starter model the sink's keys went from 1 % to 14 % relative error, and perplexity rose by 17 % instead of 4 %.
So the first tokens are kept apart and scaled to a fixed share of the power of all others (`first_token_share`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle
from transformers import PreTrainedModel

from birdbone.compress.errors import NoCalibrationDataError
from birdbone.compress.gram import require_alive
from birdbone.models import Architecture

PANEL_WIDTH = 192


@dataclass(frozen=True, slots=True, kw_only=True)
class InputStatistics:
    """Second moments of the inputs of one group of linears: mean of x xᵀ over `num_tokens` tokens, not centred."""

    gram_DD: Float[Tensor, "D D"]
    num_tokens: int

    @property
    def mean_square_D(self) -> Float[Tensor, " D"]:
        """E[x²] of each input: what Wanda and the imatrix use."""
        return self.gram_DD.diagonal()


def collect_statistics(
    model: PreTrainedModel,
    architecture: Architecture,
    windows_NT: Int[Tensor, "N T"],
    *,
    batch_size: int = 4,
    first_token_share: float | None = None,
    progress: Callable[[int, int], None] = lambda _done, _total: None,
) -> dict[str, InputStatistics]:
    """Return the statistics of every linear's input and of the head's, by path; linears of one group share one object.

    Args:
        windows_NT: calibration tokens. The model runs on them as it is, without gradients, and is left unchanged.
        first_token_share: input power of the windows' first tokens as a share of that of all other tokens; None leaves
            every token its own weight, so that the result is the plain mean of x xᵀ.
        progress: called with windows done and windows in all after each batch.

    Raises:
        NoCalibrationDataError: no windows.
        NonFiniteStatisticsError, SilentInputError: what the inputs of a layer look like (names the first one).
    """
    if windows_NT.numel() == 0:
        raise NoCalibrationDataError("There are no calibration windows to take statistics on.")
    sums: dict[str, _Sums] = {}
    groups = [group for layer in architecture.layers for group in layer.input_groups]
    handles = [_watch(model, group.linears[0], sums, window=windows_NT.shape[1]) for group in groups]
    try:
        for hidden_BTD in _stream(model, windows_NT, batch_size, progress):
            _add(sums, architecture.head, hidden_BTD, window=windows_NT.shape[1])
    finally:
        for handle in handles:
            handle.remove()
    grams = {path: _mean_gram(path, sums.pop(path), windows_NT, first_token_share) for path in list(sums)}
    return _share(architecture, grams, num_tokens=windows_NT.numel())


def statistics_to_tensors(statistics: Mapping[str, InputStatistics], architecture: Architecture) -> dict[str, Tensor]:
    """Return one tensor a group, named by the group's first linear, and the head's; ready to be saved."""
    firsts = [group.linears[0] for layer in architecture.layers for group in layer.input_groups]
    return {path: statistics[path].gram_DD for path in (*firsts, architecture.head)}


def statistics_from_tensors(
    tensors: Mapping[str, Tensor], architecture: Architecture, *, num_tokens: int
) -> dict[str, InputStatistics]:
    """Return what `statistics_to_tensors` was given."""
    return _share(architecture, tensors, num_tokens=num_tokens)


@dataclass(frozen=True, slots=True)
class _Sums:
    """The first token of each window as it is, and the lower half of the sum of x xᵀ over all other tokens.

    Apart from the start: a first token can be a million times louder, and taking it out of a sum leaves only noise.
    """

    first: list[Tensor]
    other_DD: Tensor


def _watch(model: PreTrainedModel, path: str, sums: dict[str, _Sums], *, window: int) -> RemovableHandle:
    linear: nn.Module = model.get_submodule(path)
    return linear.register_forward_pre_hook(lambda _module, inputs: _add(sums, path, inputs[0], window=window))


def _add(sums: dict[str, _Sums], path: str, x: Tensor, *, window: int) -> None:
    """Add the inputs of whole windows; some families hand them on with windows and tokens in one dimension."""
    x_NTD = x.detach().float().reshape(-1, window, x.shape[-1])
    if path not in sums:
        sums[path] = _Sums([], x_NTD.new_zeros(x.shape[-1], x.shape[-1]))
    sums[path].first.append(x_NTD[:, 0].clone())
    accumulate_lower(sums[path].other_DD, x_NTD[:, 1:].flatten(0, 1))


def accumulate_lower(gram_DD: Tensor, x_TD: Tensor) -> None:
    """Add xᵀx over tokens to the lower half of `gram_DD`, in place; `mirror_lower` makes it whole."""
    for start in range(0, x_TD.shape[1], PANEL_WIDTH):
        stop = start + PANEL_WIDTH
        gram_DD[start:, start:stop].addmm_(x_TD[:, start:].T, x_TD[:, start:stop])


def mirror_lower(gram_DD: Tensor) -> None:
    """Copy the lower half of a symmetric matrix onto its upper half, in place."""
    for start in range(0, len(gram_DD), PANEL_WIDTH):
        stop = start + PANEL_WIDTH
        corner = gram_DD[start:stop, start:stop]
        corner.copy_(corner.tril() + corner.tril(-1).T)
        gram_DD[start:stop, stop:] = gram_DD[stop:, start:stop].T


@torch.no_grad()
def _stream(
    model: PreTrainedModel, windows_NT: Tensor, batch_size: int, progress: Callable[[int, int], None]
) -> Iterator[Tensor]:
    """Run all but the head on each batch and yield what the head would read."""
    body = model.base_model
    for start in range(0, len(windows_NT), batch_size):
        yield body(input_ids=windows_NT[start : start + batch_size], use_cache=False).last_hidden_state
        progress(min(start + batch_size, len(windows_NT)), len(windows_NT))


def _mean_gram(path: str, sums: _Sums, windows_NT: Tensor, first_token_share: float | None) -> Tensor:
    """Return the mean of x xᵀ as a full matrix, with the first tokens at their share. Changes `sums`."""
    gram_DD, first_ND = sums.other_DD, torch.cat(sums.first)
    if first_token_share is not None and windows_NT.shape[1] > 1:
        first_power, other_power = first_ND.square().sum().clamp_min(1e-30), gram_DD.diagonal().sum()
        first_ND *= (first_token_share * other_power / first_power).sqrt()
    accumulate_lower(gram_DD, first_ND)
    gram_DD /= windows_NT.numel()
    mirror_lower(gram_DD)
    require_alive(gram_DD, path)
    return gram_DD


def _share(architecture: Architecture, grams: Mapping[str, Tensor], *, num_tokens: int) -> dict[str, InputStatistics]:
    found = {architecture.head: InputStatistics(gram_DD=grams[architecture.head], num_tokens=num_tokens)}
    for layer in architecture.layers:
        for group in layer.input_groups:
            shared = InputStatistics(gram_DD=grams[group.linears[0]], num_tokens=num_tokens)
            found.update(dict.fromkeys(group.linears, shared))
    return found
