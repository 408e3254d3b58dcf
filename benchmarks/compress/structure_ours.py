"""Our way to a structural cut: attention blocks by measured loss, neurons by elimination, refit, distillation."""

from __future__ import annotations

import math
from typing import Any

from kept_stages import Bench, draw_windows

from birdbone.compress.config import DistillConfig
from birdbone.compress.growth import DependencyGraph, Structure, build_dependency_graph
from birdbone.compress.growth.ablation import Ablation, removal_losses, remove_greedily
from birdbone.compress.growth.costs import order_units
from birdbone.compress.healing import heal_model
from birdbone.compress.shedding.cutting import cut_model
from birdbone.models import LoadedModel

MIXES = {0.2: 6, 0.3: 10}
"""Attention blocks that go in each cut; neurons make up the rest."""
MULTIPLE = 32


def cut_our_way(bench: Bench, loaded: LoadedModel, cut: float) -> None:
    """Take a share of all parameters out of the decoder of the dense model, and refit the rest."""
    graph = build_dependency_graph(loaded.architecture)
    structures = _choose(bench, loaded, graph, cut)
    calibration_NT = draw_windows(bench, loaded, "valid", bench.settings.num_calibrated)
    cut_model(loaded.model, graph, structures, windows_NT=calibration_NT)


def heal_our_way(bench: Bench, loaded: LoadedModel) -> None:
    """Teach a cut model to predict as the dense one does; two other windows decide whether that helped."""
    healing_NT = draw_windows(bench, loaded, "valid", bench.settings.num_healed, offset=1)
    heal_model(
        loaded.model,
        bench.model("dense", None, lambda _loaded: None).model,
        loaded.architecture,
        windows_NT=healing_NT,
        deciding_NT=draw_windows(bench, loaded, "valid", 2),
        masks={},
        config=DistillConfig(
            num_steps=bench.settings.epochs * len(healing_NT),
            batch_size=1,
            learning_rate=bench.settings.heal_rate,
            distill_share=0.5,  # half by the text's next token, as all of the peer's loss is
        ),
    )


def _choose(bench: Bench, loaded: LoadedModel, graph: DependencyGraph, cut: float) -> list[Structure]:
    attention = bench.stage("attention", lambda: _attention_order(bench, loaded, graph))[: MIXES[cut]]
    orders = bench.stage("neurons", lambda: _neuron_orders(bench, loaded, graph))
    budget = cut * loaded.model.num_parameters() - graph.num_parameters(attention)
    layers = graph.architecture.layers
    one = graph.num_parameters([Structure(kind="neuron", layer=0, index=0)]) * len(layers)
    count = MULTIPLE * math.ceil(budget / one / MULTIPLE)
    neurons = [
        Structure(kind="neuron", layer=layout.index, index=index)
        for layout in layers
        for index in orders[layout.index, "neuron"].units_R[:count].tolist()
    ]
    return [*attention, *neurons]


def _attention_order(bench: Bench, loaded: LoadedModel, graph: DependencyGraph) -> list[Structure]:
    windows_NT = draw_windows(bench, loaded, "valid", bench.settings.num_ablated, tokens=256)
    ablation = Ablation(loaded.model, graph, windows_NT)
    candidates = graph.structures("attention")[1:-1]
    losses = bench.stage("attention-alone", lambda: removal_losses(ablation, candidates))
    return [found.structure for found in remove_greedily(ablation, losses, num_removed=max(MIXES.values()))]


def _neuron_orders(bench: Bench, loaded: LoadedModel, graph: DependencyGraph) -> dict[Any, Any]:
    windows_NT = draw_windows(bench, loaded, "valid", bench.settings.num_calibrated)
    return order_units(loaded.model, graph, windows_NT, kinds=["neuron"])
