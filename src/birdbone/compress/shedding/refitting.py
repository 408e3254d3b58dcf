"""Letting what stays take over the work of what goes, layer by layer. Shapes: N windows, T tokens.

Theory of operation. The hidden states of the model being cut run through its layers. At each layer the moments of what
its last linears really read are taken; the columns that go are set to zero, and those that stay are refitted to the
output of the whole. Then the layer is run again, so that the next one is fitted to what it will see. The attention
comes before the feed-forward block, which reads what the attention adds.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from jaxtyping import Int
from torch import Tensor
from transformers import PreTrainedModel

from birdbone.compress.growth.costs import stream_moments
from birdbone.compress.growth.dependency import DependencyGraph
from birdbone.compress.growth.elimination import bias_correction, refit_columns
from birdbone.compress.growth.moments import InputMoments
from birdbone.compress.growth.removal import LayerRest
from birdbone.compress.growth.silencing import output_path
from birdbone.compress.growth.structures import BlockKind


def refit_rest(
    model: PreTrainedModel,
    graph: DependencyGraph,
    rests: Sequence[LayerRest],
    windows_NT: Int[Tensor, "N T"],
    *,
    damping: float,
    batch_size: int = 2,
    progress: Callable[[int, int], None] = lambda _done, _total: None,
) -> tuple[float, ...]:
    """Refit the last linears of every layer that loses units, in place; shapes stay, columns that go become zero.

    Returns:
        For each refitted linear, the squared output error that is left as a share of the output's power.

    Raises:
        NoCalibrationDataError: no windows.
        SingularGramError: what a block reads is linearly dependent even with damping.
    """
    errors: list[float] = []
    stream = stream_moments(model, graph, windows_NT, batch_size=batch_size)
    for (layout, moments), rest in zip(stream, rests, strict=True):
        was_changed = False
        for kind in moments:
            columns = kept_columns(graph, rest, kind)
            path = output_path(layout, kind)
            if len(columns) == model.get_parameter(f"{path}.weight").shape[1]:
                continue
            if was_changed:  # the feed-forward block reads what the attention adds
                moments = stream.run_again()
            errors.append(_refit(model, path, columns, moments[kind], damping=damping))
            was_changed = True
        if was_changed:
            stream.run_again()
        progress(layout.index + 1, len(rests))
    return tuple(errors)


def kept_columns(graph: DependencyGraph, rest: LayerRest, kind: BlockKind) -> list[int]:
    """Return the inputs of a block's last linear that stay."""
    width = graph.architecture.head_dim
    if kind == "attention":
        return [head * width + column for head in rest.query_heads for column in range(width)]
    return list(rest.neurons)


@torch.no_grad()
def _refit(model: PreTrainedModel, path: str, columns: list[int], moments: InputMoments, *, damping: float) -> float:
    weight_FD = model.get_parameter(f"{path}.weight")
    bias_F = model.get_submodule(path).bias
    if not columns:
        weight_FD.zero_()
        if isinstance(bias_F, Tensor):
            bias_F.zero_()
        return 1.0
    before_FD, kept_K = weight_FD.float().clone(), torch.tensor(columns)
    gram_DD = moments.gram_DD
    if isinstance(bias_F, Tensor):
        gram_DD = gram_DD - torch.outer(moments.mean_D, moments.mean_D)
    v_FK = refit_columns(before_FD, kept_K, gram_DD, damping=damping)
    if isinstance(bias_F, Tensor):
        bias_F += bias_correction(before_FD, v_FK, kept_K, moments.mean_D).to(bias_F.dtype)
    weight_FD.zero_()
    weight_FD[:, kept_K] = v_FK.to(weight_FD.dtype)
    change_FD = before_FD - weight_FD.float()
    power = ((before_FD @ gram_DD) * before_FD).sum().clamp_min(1e-30)
    return float(((change_FD @ gram_DD) * change_FD).sum() / power)
