"""Finding growth plates and marking those that go next: figures of a survey turned into records.

Shapes: G units of a block.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence

from jaxtyping import Int
from torch import Tensor
from transformers import PreTrainedModel

from birdbone.compress.config.growth import GrowthConfig
from birdbone.compress.growth.ablation import Ablation, removal_losses
from birdbone.compress.growth.dependency import DependencyGraph
from birdbone.compress.growth.plates import GrowthPlate, PlateLedger
from birdbone.compress.growth.protection import CriticalPath, critical_paths, protected_structures
from birdbone.compress.growth.structures import BlockKind, Structure, StructureKind
from birdbone.compress.growth.survey import LayerSurvey, UnitSurvey, survey_layers

_BLOCKS: tuple[StructureKind, ...] = ("layer", "attention", "feed_forward")
_F16_BYTES = 2


def find_plates(
    model: PreTrainedModel,
    graph: DependencyGraph,
    windows_NT: Int[Tensor, "N T"],
    *,
    config: GrowthConfig,
    name: str,
    progress: Callable[[int, int], None] = lambda _done, _total: None,
) -> tuple[PlateLedger, tuple[CriticalPath, ...]]:
    """Return the growth plates of a model, each with what was measured of it, and its critical pathways.

    The model is left as it was.

    Args:
        windows_NT: calibration tokens; the first `config.ablate_windows` of them measure what blocks cost.
        name: of the model, for the ledger.
        progress: called with steps done and steps in all: a layer surveyed, a block taken away.

    Raises:
        NoCalibrationDataError, NonFiniteStatisticsError, SingularGramError: see `survey`.
        UnknownStructureError: a glob of `config.protect.also` fits nothing.
    """
    measured = graph.structures(*_BLOCKS) if config.ablate_windows else ()
    num_layers = graph.architecture.num_layers
    total = num_layers + len(measured)
    surveys = survey_layers(model, graph, windows_NT, progress=lambda done, _all: progress(done, total))
    losses: dict[Structure, float] = {}
    if measured:
        ablation = Ablation(model, graph, windows_NT[: config.ablate_windows])
        losses = removal_losses(ablation, measured, progress=lambda done, _all: progress(num_layers + done, total))
    ledger = PlateLedger(
        model=name,
        num_parameters=graph.num_decoder_parameters,
        windows=len(windows_NT),
        window_tokens=windows_NT.shape[1],
        plates=make_plates(graph, surveys, losses, config=config),
    )
    return ledger, critical_paths(graph, surveys, config.protect)


def make_plates(
    graph: DependencyGraph,
    surveys: Sequence[LayerSurvey],
    losses: Mapping[Structure, float],
    *,
    config: GrowthConfig,
) -> tuple[GrowthPlate, ...]:
    """Return a plate for each structure of `config.kinds`; of neurons only the least important of each layer.

    The damage of a unit is estimated: the loss of removing its block, times the share of the block's output power that
    is lost when the others take over the unit's work.
    """
    protected = protected_structures(graph, surveys, config.protect)
    sizes: dict[tuple[StructureKind, int], int] = {}
    plates = []
    for survey in surveys:
        for plate in _plates_of_layer(graph, survey, config):
            key = (plate.kind, survey.layer)
            if key not in sizes:
                sizes[key] = graph.num_parameters([plate])
            plates.append(_record(plate, survey, losses, graph=graph, num_parameters=sizes[key], kept=protected))
    return tuple(plates)


def mark_plates(ledger: PlateLedger, *, max_damage: float, wave: int = 0) -> PlateLedger:
    """Return the ledger with those plates marked whose damage is known and at most `max_damage` nats a token."""
    chosen = [
        plate.structure
        for plate in ledger.plates
        if plate.status in ("found", "restored") and plate.damage is not None and plate.damage <= max_damage
    ]
    return ledger.move(chosen, "marked", wave=wave, note=f"damage at most {max_damage:g} nats a token")


def _plates_of_layer(graph: DependencyGraph, survey: LayerSurvey, config: GrowthConfig) -> Iterator[Structure]:
    layer = survey.layer
    for kind in config.kinds:
        if kind in survey.blocks:
            yield Structure(kind=kind, layer=layer)
        elif kind == "neuron" and survey.neurons is not None:
            count = int(config.neurons_per_layer * len(survey.neurons.power))
            cost_G = survey.neurons.power * survey.neurons.reconstruction_error
            for index in cost_G.argsort(stable=True)[:count].sort().values.tolist():
                yield Structure(kind=kind, layer=layer, index=index)
        elif kind in ("kv_group", "query_head") and survey.heads is not None:
            heads = graph.heads(layer)
            count = heads.num_kv_heads if kind == "kv_group" else heads.num_heads
            yield from (Structure(kind=kind, layer=layer, index=index) for index in range(count))


def _record(
    structure: Structure,
    survey: LayerSurvey,
    losses: Mapping[Structure, float],
    *,
    graph: DependencyGraph,
    num_parameters: int,
    kept: Mapping[Structure, str],
) -> GrowthPlate:
    figures = _block_figures(structure, survey, losses) or _unit_figures(structure, survey, losses, graph)
    return GrowthPlate(
        structure=structure.name,
        kind=structure.kind,
        layer=survey.layer,
        num_parameters=num_parameters,
        f16_bytes=_F16_BYTES * num_parameters,
        status="kept" if structure in kept else "found",
        reason=kept.get(structure, ""),
        **figures,
    )


def _block_figures(
    structure: Structure, survey: LayerSurvey, losses: Mapping[Structure, float]
) -> dict[str, object] | None:
    block = survey.blocks.get(structure.kind)
    if block is None:
        return None
    return {
        "redundancy": 1.0 - min(1.0, block.reconstruction_error),
        "cosine": 1.0 - block.influence,
        "cka": block.cka,
        "damage": losses.get(structure),
        "damage_basis": "measured" if structure in losses else None,
    }


def _unit_figures(
    structure: Structure, survey: LayerSurvey, losses: Mapping[Structure, float], graph: DependencyGraph
) -> dict[str, object]:
    units, block = _units_of(structure, survey)
    members = _members(structure, graph)
    share_G = units.power / units.power.sum().clamp_min(1e-30)
    lost = float((share_G * units.reconstruction_error)[members].sum())
    share = float(share_G[members].sum())
    whole = losses.get(Structure(kind=block, layer=survey.layer))
    return {
        "redundancy": 1.0 - float(units.reconstruction_error[members].mean()),
        "importance": share,
        "damage": None if whole is None else whole * lost,
        "damage_basis": None if whole is None else "estimated",
    }


def _units_of(structure: Structure, survey: LayerSurvey) -> tuple[UnitSurvey, BlockKind]:
    units = survey.neurons if structure.kind == "neuron" else survey.heads
    assert units is not None, f"{structure.name} was not surveyed"
    return units, "feed_forward" if structure.kind == "neuron" else "attention"


def _members(structure: Structure, graph: DependencyGraph) -> list[int]:
    assert structure.index is not None
    assert structure.layer is not None
    if structure.kind != "kv_group":
        return [structure.index]
    span = graph.heads(structure.layer).heads_per_group
    return list(range(structure.index * span, (structure.index + 1) * span))
