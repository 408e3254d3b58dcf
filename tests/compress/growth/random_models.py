"""Random tiny models of every family, and random sets of structures to take out of them."""

from __future__ import annotations

import functools
import random

import torch
from tests.models.conftest import CONFIGS
from transformers import AutoModelForCausalLM, PreTrainedModel

from birdbone.compress.growth.dependency import DependencyGraph, build_dependency_graph
from birdbone.compress.growth.structures import Structure
from birdbone.models import describe_architecture

FAMILIES = tuple(CONFIGS)


def draw_model(family: str, seed: int = 0) -> PreTrainedModel:
    model: PreTrainedModel = AutoModelForCausalLM.from_config(CONFIGS[family]()).eval()
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=generator) * 0.3)
    return model


@functools.cache
def skeleton(family: str, num_layers: int = 3) -> PreTrainedModel:
    """A model whose tensors have shapes and no values; only read."""
    config = CONFIGS[family]()
    config.num_hidden_layers = num_layers
    if getattr(config, "layer_types", None) is not None:
        config.layer_types = ["full_attention"] * num_layers
    with torch.device("meta"):
        model: PreTrainedModel = AutoModelForCausalLM.from_config(config).eval()
    return model


def graph_of(model: PreTrainedModel) -> DependencyGraph:
    return build_dependency_graph(describe_architecture(model))


def draw_structures(graph: DependencyGraph, seed: int) -> list[Structure]:
    """Some structures that may go together: of each layer nothing, units, a block or all, at least one layer whole."""
    draw, chosen = random.Random(seed), []
    spared = draw.randrange(graph.architecture.num_layers)
    for layout in graph.architecture.layers:
        layer = layout.index
        if layer != spared and draw.random() < 0.2:
            chosen.append(Structure(kind="layer", layer=layer))
        if layer != spared and draw.random() < 0.3:
            chosen.append(Structure(kind=draw.choice(["attention", "feed_forward"]), layer=layer))
        neurons = draw.sample(range(layout.feed_forward_size), draw.randrange(layout.feed_forward_size))
        chosen += [Structure(kind="neuron", layer=layer, index=index) for index in neurons]
        heads = graph.heads(layer)
        if draw.random() < 0.5:
            groups = draw.sample(range(heads.num_kv_heads), draw.randrange(heads.num_kv_heads))
            chosen += [Structure(kind="kv_group", layer=layer, index=index) for index in groups]
        if heads.heads_per_group > 1 and draw.random() < 0.5:
            place = draw.randrange(heads.heads_per_group)
            first = range(0, heads.num_heads, heads.heads_per_group)
            chosen += [Structure(kind="query_head", layer=layer, index=start + place) for start in first]
    draw.shuffle(chosen)
    return chosen
