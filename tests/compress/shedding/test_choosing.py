"""Choosing takes the cheapest steps, reaches the share, keeps widths and heads even, and spares the protected."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from tests.compress.growth.random_models import FAMILIES, graph_of, skeleton
from tests.compress.matrices import law, seeds

from birdbone.compress.config import AdaptivePattern, StructuralPattern, TargetedPattern
from birdbone.compress.errors import ProtectedStructureError, ShareOutOfReachError, UnknownStructureError
from birdbone.compress.growth.costs import CutCosts
from birdbone.compress.growth.dependency import DependencyGraph
from birdbone.compress.growth.elimination import RemovalOrder
from birdbone.compress.growth.removal import rest_of_layers
from birdbone.compress.growth.structures import Structure
from birdbone.compress.shedding.choosing import Choice, choose_structures, choose_targeted


def draw_costs(graph: DependencyGraph, seed: int) -> CutCosts:
    generator = torch.Generator().manual_seed(seed)
    blocks = graph.structures("layer", "attention", "feed_forward")
    orders = {}
    for layout in graph.architecture.layers:
        heads = graph.heads(layout.index)
        for unit, count in (("neuron", 36), ("kv_group", heads.num_kv_heads - 1), ("query_head", heads.num_heads - 1)):
            total = {"neuron": 48, "kv_group": heads.num_kv_heads, "query_head": heads.num_heads}[unit]
            units_R = torch.randperm(total, generator=generator)[:count]
            errors_R = torch.rand(count, generator=generator).sort().values
            orders[layout.index, unit] = RemovalOrder(units_R=units_R, errors_R=errors_R)
    losses = torch.rand(len(blocks), generator=generator).tolist()
    return CutCosts(blocks=dict(zip(blocks, losses, strict=True)), orders=orders)


def choice_or_reach(graph, pattern, costs) -> Choice | float:
    """Return the choice, or what share may go where it is less than was asked for."""
    try:
        return choose_structures(graph, pattern, costs, {})
    except ShareOutOfReachError as error:
        return float(error.fields["share"])


@law
@given(
    family=st.sampled_from(FAMILIES),
    seed=seeds,
    share=st.floats(0.01, 0.3),
    kind=st.sampled_from(["neuron", "attention", "feed_forward", "layer", "adaptive"]),
)
def test_the_share_is_reached_and_not_by_a_step_too_many(family: str, seed: int, share: float, kind: str) -> None:
    graph = graph_of(skeleton(family, 4))
    costs = draw_costs(graph, seed)
    pattern = (
        AdaptivePattern(share=share, width_multiple=8)
        if kind == "adaptive"
        else StructuralPattern(kind=kind, share=share, width_multiple=8)  # type: ignore[arg-type]
    )
    choice = choice_or_reach(graph, pattern, costs)
    if isinstance(choice, float):
        assert choice < share  # widths stay multiples of 8, and one multiple stays
        assert kind == "neuron"
        return
    total = graph.num_decoder_parameters
    assert choice.num_parameters >= share * total
    assert choice.num_parameters == graph.num_parameters(choice.structures)
    largest = max(graph.num_parameters([structure]) for structure in choice.structures)
    assert choice.num_parameters < share * total + 8 * largest
    for rest in rest_of_layers(graph, choice.structures):
        assert len(rest.neurons) % 8 == 0


def test_the_cheapest_blocks_go_first_and_protected_ones_stay() -> None:
    graph = graph_of(skeleton("llama", 4))
    costs = CutCosts(
        blocks={Structure(kind="attention", layer=layer): damage for layer, damage in enumerate((0.1, 0.4, 0.2, 0.3))},
        orders={},
    )
    pattern = StructuralPattern(kind="attention", share=0.2)
    found = choose_structures(graph, pattern, costs, {Structure(kind="attention", layer=0): "spared"})
    assert [structure.name for structure in found.structures] == ["layers.2.attention", "layers.3.attention"]
    assert found.damage == pytest.approx(0.5)


def test_heads_go_evenly_one_of_each_group() -> None:
    graph = graph_of(skeleton("llama", 4))
    found = choose_structures(graph, StructuralPattern(kind="head", share=0.05), draw_costs(graph, 0), {})
    assert {structure.kind for structure in found.structures} == {"query_head"}
    rest_of_layers(graph, found.structures)


def test_too_large_a_share_says_how_much_may_go() -> None:
    graph = graph_of(skeleton("llama", 4))
    with pytest.raises(ShareOutOfReachError, match=r"90\.0% should go; .* may"):
        choose_structures(graph, StructuralPattern(kind="kv_group", share=0.9), draw_costs(graph, 0), {})


def test_named_structures_go_unless_they_are_protected_or_unknown() -> None:
    graph = graph_of(skeleton("llama", 4))
    pattern = TargetedPattern(structures=("layers.[12].attention", "layers.3.neuron.?"))
    found = choose_targeted(graph, pattern, {})
    assert len(found.structures) == 2 + 10
    assert found.damage is None
    with pytest.raises(ProtectedStructureError, match="spared"):
        choose_targeted(graph, pattern, {Structure(kind="attention", layer=1): "spared"})
    with pytest.raises(UnknownStructureError):
        choose_targeted(graph, TargetedPattern(structures=("layers.8",)), {})
