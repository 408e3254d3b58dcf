"""From a structural pattern to the structures that go: what must be measured for it is measured, nothing more."""

from __future__ import annotations

from collections.abc import Callable
from typing import assert_never

from jaxtyping import Int
from torch import Tensor
from transformers import PreTrainedModel

from birdbone.compress.config import (
    AdaptivePattern,
    ProtectConfig,
    StructuralPattern,
    StructuresPattern,
    TargetedPattern,
)
from birdbone.compress.growth.ablation import Ablation, removal_losses
from birdbone.compress.growth.costs import CutCosts, order_units
from birdbone.compress.growth.dependency import DependencyGraph
from birdbone.compress.growth.protection import protected_structures
from birdbone.compress.growth.structures import Structure, StructureKind, UnitKind
from birdbone.compress.growth.survey import survey_layers
from birdbone.compress.shedding.choosing import Choice, choose_structures, choose_targeted

Progress = Callable[[int, int], None]


_UNITS: dict[str, UnitKind] = {"neuron": "neuron", "kv_group": "kv_group", "head": "query_head"}
_BLOCKS: dict[str, StructureKind] = {
    "neuron": "feed_forward",
    "kv_group": "attention",
    "head": "attention",
    "attention": "attention",
    "feed_forward": "feed_forward",
    "layer": "layer",
}
_SURVEY_WINDOWS = 4
"""Windows that the critical pathways are seen on."""


def plan_cut(
    model: PreTrainedModel,
    graph: DependencyGraph,
    pattern: StructuresPattern,
    windows_NT: Int[Tensor, "N T"],
    *,
    protect: ProtectConfig,
    ablate_windows: int = 1,
    progress: Progress = lambda _done, _total: None,
) -> Choice:
    """Return the structures that a pattern sheds. The model is left as it was.

    Args:
        windows_NT: calibration tokens. The first few show the critical pathways, the first `ablate_windows` measure
            what blocks cost, all of them order the units.

    Raises:
        NoCalibrationDataError, NonFiniteStatisticsError, SingularGramError: of the measuring.
        UnknownStructureError, ProtectedStructureError, BrokenConnectivityError, ShareOutOfReachError: of the choice.
    """
    surveys = survey_layers(model, graph, windows_NT[:_SURVEY_WINDOWS], progress=progress)
    protected = protected_structures(graph, surveys, protect)
    match pattern:
        case TargetedPattern():
            return choose_targeted(graph, pattern, protected)
        case StructuralPattern() | AdaptivePattern():
            costs = measure_costs(model, graph, pattern, windows_NT, ablate_windows=ablate_windows, progress=progress)
            return choose_structures(graph, pattern, costs, protected)
        case _:
            assert_never(pattern)


def measure_costs(
    model: PreTrainedModel,
    graph: DependencyGraph,
    pattern: StructuralPattern | AdaptivePattern,
    windows_NT: Int[Tensor, "N T"],
    *,
    ablate_windows: int,
    progress: Progress = lambda _done, _total: None,
) -> CutCosts:
    """Return what the steps that a pattern may take would cost.

    Raises:
        NoCalibrationDataError, SingularGramError: of the measuring.
    """
    kinds = pattern.kinds if isinstance(pattern, AdaptivePattern) else (pattern.kind,)
    wanted = graph.structures(*dict.fromkeys(_BLOCKS[kind] for kind in kinds))
    ablation = Ablation(model, graph, windows_NT[:ablate_windows])
    blocks: dict[Structure, float] = removal_losses(ablation, wanted, progress=progress)
    units = [_UNITS[kind] for kind in kinds if kind in _UNITS]
    orders = order_units(model, graph, windows_NT, kinds=units, progress=progress) if units else {}
    return CutCosts(blocks=blocks, orders=orders)
