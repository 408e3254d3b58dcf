"""What every step of a structural cut would cost: blocks measured, units by exact elimination.

Shapes: N windows, T tokens, D hidden size.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass

import torch
from jaxtyping import Int
from torch import Tensor
from transformers import PreTrainedModel

from birdbone.compress.errors import NoCalibrationDataError
from birdbone.compress.growth.dependency import DependencyGraph
from birdbone.compress.growth.elimination import RemovalOrder, removal_order
from birdbone.compress.growth.moments import InputMoments, watched_moments
from birdbone.compress.growth.silencing import output_path
from birdbone.compress.growth.structures import BlockKind, Structure, UnitKind
from birdbone.models import capture_block_inputs, run_block
from birdbone.models.architecture import LayerLayout

_MAX_NEURON_SHARE = 0.75
"""Of a layer's neurons that are put in order: a cut that goes deeper takes the block."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CutCosts:
    """What removals cost.

    Attributes:
        blocks: rise of the loss in nats a token when a layer, attention or feed-forward block goes.
        orders: of each layer and kind of unit, the order in which units go; the error is a share of the block's output
            power, so that the block's own rise times that error estimates the rise of the loss.
    """

    blocks: Mapping[Structure, float]
    orders: Mapping[tuple[int, UnitKind], RemovalOrder]


def order_units(
    model: PreTrainedModel,
    graph: DependencyGraph,
    windows_NT: Int[Tensor, "N T"],
    *,
    kinds: Collection[UnitKind],
    batch_size: int = 2,
    damping: float = 0.01,
    progress: Callable[[int, int], None] = lambda _done, _total: None,
) -> dict[tuple[int, UnitKind], RemovalOrder]:
    """Return in which order the units of every layer can go: `neuron`, `kv_group`, or `query_head`.

    One streamed pass; memory holds one block's moments. The model is not changed.

    Raises:
        NoCalibrationDataError: no windows.
        SingularGramError: what a block reads is zero on all windows.
    """
    found: dict[tuple[int, UnitKind], RemovalOrder] = {}
    for layout, moments in stream_moments(model, graph, windows_NT, batch_size=batch_size):
        for kind in kinds:
            block: BlockKind = "feed_forward" if kind == "neuron" else "attention"
            if block in moments:
                found[layout.index, kind] = _order(
                    model, graph, layout, kind=kind, moments=moments[block], damping=damping
                )
        progress(layout.index + 1, graph.architecture.num_layers)
    return found


def stream_moments(
    model: PreTrainedModel, graph: DependencyGraph, windows_NT: Int[Tensor, "N T"], *, batch_size: int = 2
) -> MomentStream:
    """Return an iterator over layers, each with the moments of its blocks. The model is run as it is at each layer."""
    return MomentStream(model, graph, windows_NT, batch_size=batch_size)


class MomentStream:
    """Walks the layers; after a layer was changed, `run_again` gives the next one what it will really see.

    Raises:
        NoCalibrationDataError: no windows.
    """

    def __init__(
        self, model: PreTrainedModel, graph: DependencyGraph, windows_NT: Int[Tensor, "N T"], *, batch_size: int
    ) -> None:
        if windows_NT.numel() == 0:
            raise NoCalibrationDataError("There are no calibration windows to take moments on.")
        self._model, self._graph = model, graph
        size = min(batch_size, len(windows_NT))
        batches = [windows_NT[start : start + size] for start in range(0, len(windows_NT) - size + 1, size)]
        with torch.no_grad():
            captured = [capture_block_inputs(model, graph.architecture, batch) for batch in batches]
        self._before, self._context = [hidden for hidden, _ in captured], captured[0][1]
        self._after = self._before
        self._next = 0

    def __iter__(self) -> MomentStream:
        return self

    def __next__(self) -> tuple[LayerLayout, dict[BlockKind, InputMoments]]:
        """Return the next layer with the moments of its blocks."""
        if self._next == self._graph.architecture.num_layers:
            raise StopIteration
        layout = self._graph.architecture.layers[self._next]
        self._before, self._next = self._after, self._next + 1
        return layout, self.run_again()

    def run_again(self) -> dict[BlockKind, InputMoments]:
        """Run the layer that was given last as it is now, and return its moments."""
        layout = self._graph.architecture.layers[self._next - 1]
        with torch.no_grad(), watched_moments(self._model, layout) as sums:
            self._after = [
                run_block(self._model, self._graph.architecture, layout.index, hidden_BTD=states, context=self._context)
                for states in self._before
            ]
        return {kind: block.moments() for kind, block in sums.items()}


def _order(
    model: PreTrainedModel,
    graph: DependencyGraph,
    layout: LayerLayout,
    *,
    kind: UnitKind,
    moments: InputMoments,
    damping: float,
) -> RemovalOrder:
    heads, head_dim = graph.heads(layout.index), graph.architecture.head_dim
    width = {"neuron": 1, "query_head": head_dim, "kv_group": head_dim * heads.heads_per_group}[kind]
    count = len(moments.gram_DD) // width
    path = output_path(layout, "feed_forward" if kind == "neuron" else "attention")
    return removal_order(
        model.get_parameter(f"{path}.weight"),
        moments.gram_DD,
        num_removed=int(_MAX_NEURON_SHARE * count) if kind == "neuron" else count - 1,
        unit_width=width,
        units_a_step=max(1, count // 96) if kind == "neuron" else 1,
        damping=damping,
    )
