"""Critical pathways: what is never shed, each with the reason that was measured or named."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from birdbone.compress.config.growth import ProtectConfig
from birdbone.compress.growth.dependency import DependencyGraph
from birdbone.compress.growth.structures import Structure, StructureKind, match_structures
from birdbone.compress.growth.survey import LayerSurvey

_IN_LAYERS: tuple[StructureKind, ...] = ("layer", "attention", "feed_forward", "kv_group", "query_head", "neuron")
_BLOCKS: tuple[StructureKind, ...] = ("layer", "attention", "feed_forward")


@dataclass(frozen=True, slots=True, kw_only=True)
class CriticalPath:
    """What carries more than its share, whether it is protected or only named.

    Attributes:
        name: of a structure, or of a channel of the residual stream.
        reason: what was seen, with its figure.
        is_protected: whether it stays.
    """

    name: str
    reason: str
    is_protected: bool


def protected_structures(
    graph: DependencyGraph, surveys: Sequence[LayerSurvey], config: ProtectConfig
) -> dict[Structure, str]:
    """Return what stays, with a reason each. What holds a protected unit stays too: its block and its layer.

    Args:
        surveys: of every layer, or none: then nothing measured is protected.

    Raises:
        UnknownStructureError: a glob of `config.also` fits nothing.
    """
    reasons: dict[Structure, str] = {}
    for structure, reason in (
        *_ends(graph, config),
        *_massive_neurons(surveys, config),
        *(_sinks(surveys, config) if config.protects_sinks else ()),
        *_named(graph, config),
    ):
        for held in (structure, *_holders(graph, structure)):
            reasons.setdefault(held, reason if held == structure else f"{structure.name} within it: {reason}")
    return reasons


def critical_paths(
    graph: DependencyGraph, surveys: Sequence[LayerSurvey], config: ProtectConfig
) -> tuple[CriticalPath, ...]:
    """Return everything that carries more than its share: ends, massive activations, sink heads, what was named."""
    seen = (*_ends(graph, config), *_massive_neurons(surveys, config), *_named(graph, config))
    kept = [CriticalPath(name=structure.name, reason=reason, is_protected=True) for structure, reason in seen]
    kept += [
        CriticalPath(name=structure.name, reason=reason, is_protected=config.protects_sinks)
        for structure, reason in _sinks(surveys, config)
    ]
    return (*kept, *_massive_channels(surveys, config))


def _ends(graph: DependencyGraph, config: ProtectConfig) -> Iterable[tuple[Structure, str]]:
    count = graph.architecture.num_layers
    for structure in graph.structures(*_BLOCKS):
        assert structure.layer is not None
        if structure.layer < config.first_blocks:
            yield structure, f"one of the first {config.first_blocks} layers"
        elif structure.layer >= count - config.last_blocks:
            yield structure, f"one of the last {config.last_blocks} layers"


def _massive_neurons(surveys: Sequence[LayerSurvey], config: ProtectConfig) -> Iterable[tuple[Structure, str]]:
    for survey in surveys:
        if survey.neurons is None:
            continue
        median = float(survey.neurons.peak.median())
        for index in (survey.neurons.peak >= config.massive_ratio * max(median, 1e-30)).nonzero().flatten().tolist():
            ratio = float(survey.neurons.peak[index]) / max(median, 1e-30)
            reason = f"massive activation, {ratio:,.0f} times the layer's median peak"
            yield Structure(kind="neuron", layer=survey.layer, index=index), reason


def _massive_channels(surveys: Sequence[LayerSurvey], config: ProtectConfig) -> Iterable[CriticalPath]:
    """Name channels of the residual stream by the layer where they are loudest.

    Source: Sun et al. 2024 (massive activations), arXiv:2402.17762, sec. 2: over 100, and over 1,000 times the median.
    """
    loudest: dict[int, tuple[float, int]] = {}
    for survey in surveys:
        ratio_D = survey.residual_peak_D / max(survey.residual_median, 1e-30)
        for channel in (ratio_D >= config.massive_ratio).nonzero().flatten().tolist():
            loudest[channel] = max(loudest.get(channel, (0.0, 0)), (float(ratio_D[channel]), survey.layer))
    for channel, (ratio, layer) in sorted(loudest.items()):
        reason = f"massive activation, {ratio:,.0f} times the median after layer {layer}"
        yield CriticalPath(name=f"residual_channel.{channel}", reason=reason, is_protected=True)


def _sinks(surveys: Sequence[LayerSurvey], config: ProtectConfig) -> Iterable[tuple[Structure, str]]:
    """Source: Xiao et al. 2023 (StreamingLLM), arXiv:2309.17453, sec. 3.1."""
    for survey in surveys:
        if survey.sink_share is None:
            continue
        for head in (survey.sink_share >= config.sink_share).nonzero().flatten().tolist():
            reason = f"attention sink, {100 * float(survey.sink_share[head]):.0f} % of its attention on the first token"
            yield Structure(kind="query_head", layer=survey.layer, index=head), reason


def _named(graph: DependencyGraph, config: ProtectConfig) -> Iterable[tuple[Structure, str]]:
    if config.also:
        for structure in match_structures(config.also, graph.structures(*_IN_LAYERS)):
            yield structure, "named in the settings"


def _holders(graph: DependencyGraph, structure: Structure) -> Iterable[Structure]:
    layer = structure.layer
    if structure.kind == "layer" or layer is None:
        return
    yield Structure(kind="layer", layer=layer)
    if structure.kind == "neuron":
        yield Structure(kind="feed_forward", layer=layer)
    if structure.kind in ("query_head", "kv_group"):
        yield Structure(kind="attention", layer=layer)
    if structure.kind == "query_head" and structure.index is not None:
        group = structure.index // graph.heads(layer).heads_per_group
        yield Structure(kind="kv_group", layer=layer, index=group)
