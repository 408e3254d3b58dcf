"""Undoing a cut, the whole of it or a part.

Theory of operation. A cut keeps every block that it touched as it was. Undoing builds the full model anew: what was
never touched comes from the model as it is now (healed, if it was healed), what the cut kept comes from there. A block
of which all structures come back is bit for bit as it was. A block that stays cut in part keeps the weights that it
has now wherever they are still there, and gets back its own where a structure returns. What stays shed is then taken
out again.
"""

from __future__ import annotations

import copy
from collections.abc import Collection, Mapping

import torch
from torch import Tensor
from transformers import PreTrainedModel

from birdbone.compress.errors import UnknownStructureError
from birdbone.compress.growth.dependency import DependencyGraph, build_dependency_graph
from birdbone.compress.growth.removal import LayerRest, rest_of_layers
from birdbone.compress.growth.structures import BlockKind, Structure
from birdbone.compress.shedding.cutting import Shed, shrink_to


def restore_structures(
    model: PreTrainedModel, shed: Shed, structures: Collection[Structure] | None = None
) -> PreTrainedModel:
    """Return a model with structures put back; `model` is left as it is.

    Args:
        model: as the cut left it, or healed since.
        shed: of that cut.
        structures: which of `shed.structures` come back; None brings all back: then every tensor that the cut touched
            is bit for bit as it was.

    Raises:
        UnknownStructureError: one did not go in that cut.
    """
    back = set(shed.structures if structures is None else structures)
    unknown = back - set(shed.structures)
    if unknown:
        raise UnknownStructureError(f"{min(unknown).name} did not go in this cut.", structure=min(unknown).name)
    graph = build_dependency_graph(shed.architecture)
    rests = rest_of_layers(graph, [found for found in shed.structures if found not in back])
    full = _empty_model(model, shed)
    _fill(full, model, graph, shed, rests)
    shrink_to(full, shed.architecture, rests)
    return full


def _empty_model(model: PreTrainedModel, shed: Shed) -> PreTrainedModel:
    with torch.random.fork_rng(devices=[]):  # weights are drawn, only to be written over
        full = type(model)(copy.deepcopy(shed.config))
    full.to(dtype=model.dtype)
    full.tie_weights()
    return full.eval()


@torch.no_grad()
def _fill(
    full: PreTrainedModel,
    model: PreTrainedModel,
    graph: DependencyGraph,
    shed: Shed,
    rests: tuple[LayerRest, ...],
) -> None:
    whole = _whole_blocks(graph, rests)
    places = _places(shed)
    for name, target in full.named_parameters():
        now = _parameter(model, _name_now(name, places, graph))
        kept = shed.tensors.get(name)
        if kept is None:
            assert now is not None, f"{name} is neither in the model nor kept"
            target.copy_(now)
            continue
        target.copy_(kept)
        if now is not None and name not in whole:
            _put_survivors(target, now, graph, name, shed)


def _whole_blocks(graph: DependencyGraph, rests: tuple[LayerRest, ...]) -> set[str]:
    """Return the tensors of all blocks from which nothing is gone any more."""
    names: set[str] = set()
    for rest in rests:
        layout = graph.architecture.layers[rest.layer]
        blocks: Mapping[BlockKind, bool] = {
            "attention": len(rest.query_heads) == graph.heads(rest.layer).num_heads,
            "feed_forward": len(rest.neurons) == layout.feed_forward_size,
        }
        for kind, is_whole in blocks.items():
            if is_whole:
                names.update(graph.tensors_of(Structure(kind=kind, layer=rest.layer)))
    return names


def _put_survivors(target: Tensor, now: Tensor, graph: DependencyGraph, name: str, shed: Shed) -> None:
    """Write what the cut left of a tensor to where it lay."""
    axes = [set(range(size)) for size in target.shape]
    for structure in shed.structures:
        for piece in graph.pieces(structure):
            if piece.tensor == name and piece.axis is not None:
                axes[piece.axis] -= set(piece.indices)
    kept = [torch.tensor(sorted(axis)) for axis in axes]
    if target.ndim == 1:
        target[kept[0]] = now
    else:
        target[kept[0][:, None], kept[1]] = now


def _places(shed: Shed) -> dict[int, int]:
    """Return where each layer lies now, by where it lay."""
    staying = [rest.layer for rest in shed.rests if not rest.is_gone]
    return {layer: position for position, layer in enumerate(staying)}


def _name_now(name: str, places: Mapping[int, int], graph: DependencyGraph) -> str | None:
    for layout in graph.architecture.layers:
        if name.startswith(f"{layout.path}."):
            if layout.index not in places:
                return None
            root = layout.path.rpartition(".")[0]
            return f"{root}.{places[layout.index]}{name.removeprefix(layout.path)}"
    return name


def _parameter(model: PreTrainedModel, name: str | None) -> Tensor | None:
    try:
        return None if name is None else model.get_parameter(name)
    except AttributeError:
        return None
