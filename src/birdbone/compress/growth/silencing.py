"""Running a model as if structures were gone, without touching a weight.

A removed structure adds nothing to the residual stream. So its part of the input of the block's last linear is set to
zero, or the whole output of that linear, bias included. All that depends on the structure falls away with it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor
from torch.utils.hooks import RemovableHandle
from transformers import PreTrainedModel

from birdbone.compress.growth.dependency import DependencyGraph
from birdbone.compress.growth.removal import LayerRest, rest_of_layers
from birdbone.compress.growth.structures import Structure
from birdbone.models.architecture import LayerLayout


@contextmanager
def silenced(
    model: PreTrainedModel, graph: DependencyGraph, structures: Iterable[Structure]
) -> Iterator[PreTrainedModel]:
    """Give the model as it would run without these structures. Inside the block it must not be run from another thread.

    A block whose output a norm shifts before it is added (none of the known families) would not be silent.

    Raises:
        BrokenConnectivityError: see `removal`.
    """
    handles: list[RemovableHandle] = []
    try:
        for rest in rest_of_layers(graph, structures):
            handles += _silence(model, graph, rest)
        yield model
    finally:
        for handle in handles:
            handle.remove()


def output_path(layout: LayerLayout, kind: str) -> str:
    """Return the path of the linear through which an attention or feed-forward block writes to the residual stream."""
    slots = layout.attention if kind == "attention" else layout.feed_forward
    return slots[-1].path


def _silence(model: PreTrainedModel, graph: DependencyGraph, rest: LayerRest) -> Iterator[RemovableHandle]:
    layout, width = graph.architecture.layers[rest.layer], graph.architecture.head_dim
    if layout.attention and not rest.has_attention:
        yield _mute(model, output_path(layout, "attention"))
    elif layout.attention and len(rest.query_heads) < graph.heads(rest.layer).num_heads:
        kept = [head * width + column for head in rest.query_heads for column in range(width)]
        yield _narrow(model, output_path(layout, "attention"), kept)
    if layout.feed_forward and not rest.has_feed_forward:
        yield _mute(model, output_path(layout, "feed_forward"))
    elif layout.feed_forward and len(rest.neurons) < layout.feed_forward_size:
        yield _narrow(model, output_path(layout, "feed_forward"), list(rest.neurons))


def _mute(model: PreTrainedModel, path: str) -> RemovableHandle:
    return model.get_submodule(path).register_forward_hook(lambda _module, _inputs, output: torch.zeros_like(output))


def _narrow(model: PreTrainedModel, path: str, kept: list[int]) -> RemovableHandle:
    linear: Any = model.get_submodule(path)
    mask_D = torch.zeros(linear.in_features, device=linear.weight.device, dtype=linear.weight.dtype)
    mask_D[kept] = 1.0

    def narrow(_module: Any, inputs: tuple[Tensor]) -> tuple[Tensor]:
        return (inputs[0] * mask_D,)

    return linear.register_forward_pre_hook(narrow)
