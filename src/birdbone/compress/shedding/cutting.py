"""Taking chosen structures out of a model, and keeping what is needed to put them back."""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Int
from torch import Tensor
from transformers import PreTrainedModel

from birdbone.compress.growth.dependency import DependencyGraph
from birdbone.compress.growth.removal import LayerRest, rest_of_layers, structures_gone
from birdbone.compress.growth.structures import Structure
from birdbone.compress.shedding.refitting import refit_rest
from birdbone.models import Architecture, LayerKeep, Shrunk, shrink_model


@dataclass(frozen=True, slots=True, kw_only=True)
class Shed:
    """What a cut took, so that it can be undone.

    Attributes:
        structures: that went, closed.
        rests: what stayed of each layer.
        architecture: of the model before the cut.
        config: of the model before the cut.
        tensors: by name, the whole of every tensor that the cut changed or shortened, as it was.
        errors: of each refitted linear, the share of its output's power that was lost; empty without a refit.
    """

    structures: tuple[Structure, ...]
    rests: tuple[LayerRest, ...]
    architecture: Architecture
    config: Any
    tensors: dict[str, Tensor]
    errors: tuple[float, ...]


def cut_model(
    model: PreTrainedModel,
    graph: DependencyGraph,
    structures: Sequence[Structure],
    *,
    windows_NT: Int[Tensor, "N T"] | None,
    damping: float = 0.01,
    progress: Callable[[int, int], None] = lambda _done, _total: None,
) -> Shed:
    """Take structures out of `model`, in place, and return what undoes it.

    Args:
        structures: what goes; what lies within another needs not be named.
        windows_NT: calibration tokens on which the rest takes over; None leaves all that stays bit for bit.

    Raises:
        BrokenConnectivityError: no model would be left. `model` is unchanged.
        NoCalibrationDataError, SingularGramError: of the refit. `model` is unchanged.
    """
    rests = rest_of_layers(graph, structures)
    config = copy.deepcopy(model.config)
    kept = _copies(model, graph, rests)
    try:
        errors = () if windows_NT is None else refit_rest(
            model, graph, rests, windows_NT, damping=damping, progress=progress
        )  # fmt: skip
    except BaseException:
        put_tensors(model, kept)
        raise
    shrink_to(model, graph.architecture, rests)
    return Shed(
        structures=tuple(found for rest in rests for found in structures_gone(graph, rest)),
        rests=rests,
        architecture=graph.architecture,
        config=config,
        tensors=kept,
        errors=errors,
    )


def shrink_to(model: PreTrainedModel, architecture: Architecture, rests: Sequence[LayerRest]) -> Shrunk:
    """Take everything out of `model` that is not in `rests`, in place."""
    keeps = {
        rest.layer: LayerKeep(neurons=rest.neurons, query_heads=rest.query_heads, kv_groups=rest.kv_groups)
        for rest in rests
        if not rest.is_gone
    }
    layers = [rest.layer for rest in rests if not rest.is_gone]
    return shrink_model(model, architecture, keeps, layers=layers)


@torch.no_grad()
def put_tensors(model: PreTrainedModel, tensors: dict[str, Tensor]) -> None:
    """Copy tensors into the parameters of those names."""
    for name, tensor in tensors.items():
        model.get_parameter(name).copy_(tensor)


def _copies(model: PreTrainedModel, graph: DependencyGraph, rests: Sequence[LayerRest]) -> dict[str, Tensor]:
    """Return copies of all tensors of every block that something goes from."""
    names: list[str] = []
    for rest in rests:
        layout = graph.architecture.layers[rest.layer]
        if len(rest.query_heads) < graph.heads(rest.layer).num_heads:
            names += graph.tensors_of(Structure(kind="attention", layer=rest.layer))
        if layout.feed_forward and len(rest.neurons) < layout.feed_forward_size:
            names += graph.tensors_of(Structure(kind="feed_forward", layer=rest.layer))
    return {name: model.get_parameter(name).detach().clone() for name in names}
