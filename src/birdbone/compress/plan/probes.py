"""What is measured before anything is predicted: files that are timed, and plans that are carried out and judged.

Each number of a model of cost is touched by two probes at least, so that leaving one out still tells it.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from birdbone.compress.config import BlockType, CutKind, PlanConfig, StoredType
from birdbone.compress.errors import ShareOutOfReachError
from birdbone.compress.growth import DependencyGraph, Structure
from birdbone.compress.growth.removal import close_structures
from birdbone.compress.plan.compatibility import Ground, find_objections
from birdbone.compress.plan.layout import Drafter, Layout
from birdbone.compress.plan.making import renumbered
from birdbone.compress.plan.techniques import Bits, Cut, Heal, Plan
from birdbone.compress.shedding.cutting import cut_model
from birdbone.models import LoadedModel
from birdbone.models.gguf import GgufReport, GgufType, RoundedTensor, quantize_tensor, write_gguf

_SMALL, _LARGE = 0.3, 0.8
"""Of the share that may go by one kind of cut."""
_REACH_LEVELS = 20
_LEAST_SHARE = 1e-4


@dataclass(frozen=True, slots=True, kw_only=True)
class FileProbe:
    """A file that is written to be timed. What its weights are does not matter, so they are rounded plainly."""

    name: str
    layout: Layout


def file_probes(graph: DependencyGraph, config: PlanConfig, ground: Ground) -> tuple[FileProbe, ...]:
    """Return files of every type and of several shapes; the dense F16 file is the reference and not among them."""
    types: list[BlockType] = [kind for kind in config.types if kind != "f16"] or ["q8_0"]
    dense = _plain_layout(graph)
    ends: list[BlockType] = [kind for kind in config.embeddings if kind != "f16"] or ["q8_0"]
    probes = [_pure(dense, kind, ends[place % len(ends)]) for place, kind in enumerate(types)]
    smallest = min(types, key=_bits_of)
    probes += [
        FileProbe(name=f"{smallest}, {name}", layout=_typed(_without(graph, gone), smallest, ends[0]))
        for name, gone in _shapes(graph, ground)
    ]
    probes += [_pure(dense, smallest, kind) for kind in ends]
    half = (len(types) + 1) // 2 if len(types) > 1 else 0
    probes += [_halves(dense, pair, ends[0]) for pair in zip(types[:half], types[-half:], strict=True)]
    return tuple({probe.name: probe for probe in probes}.values())


def write_file_probe(path: Path, loaded: LoadedModel, graph: DependencyGraph, layout: Layout) -> GgufReport:
    """Write a file of this layout, its weights rounded plainly and nothing refitted."""
    model = copy.deepcopy(loaded.model)
    if layout.structures:
        cut_model(model, graph, layout.structures, windows_NT=None)
    kinds = _kinds_after(graph, layout)
    codes: dict[str, RoundedTensor] = {
        name: quantize_tensor(model.get_parameter(name).detach(), kind) for name, kind in kinds.items()
    }
    return write_gguf(
        path,
        model_config=model.config,
        state_tensors=model.state_dict() | codes,
        tokenizer=loaded.tokenizer,
        name=loaded.name,
        license_name=loaded.licence or "",
    )


def plan_probes(drafter: Drafter, ground: Ground) -> tuple[Plan, ...]:
    """Return plans to be carried out: each technique alone at two strengths, then some together.

    Types of the embedding are tried beside the most bits, where rounding the linears takes no time.
    """
    config, (least, most) = drafter.config, drafter.bounds_of_bits
    singles = {kind: _strengths(drafter, kind) for kind in config.cuts}
    bits = [value for value in config.bits if least <= value <= most] or [most]
    low, middle, ends = bits[0], bits[len(bits) // 3], config.embeddings
    plans = [Plan(steps=(cut,)) for cuts in singles.values() for cut in cuts]
    plans += [Plan(steps=(Bits(bits_per_weight=value, embedding=ends[0]),)) for value in (low, middle)]
    plans += [Plan(steps=(Bits(bits_per_weight=bits[-1], embedding=kind),)) for kind in ends[1:]]
    plans += _together(singles, low=low, ends=ends, num_steps=config.num_healing_steps)
    fitting = [plan for plan in plans if not find_objections(plan, ground)]
    return tuple({plan.digest: plan for plan in fitting if _can_be_drafted(drafter, plan)}.values())


def reach_of(drafter: Drafter, kind: CutKind) -> float:
    """Return the share of the decoder that one kind of cut may take: what the settings and the model allow.

    No more than steps that together are held to cost the most that is of use: beyond that nothing is worth measuring.
    """
    config, reached = drafter.config, 0.0
    for level in range(1, _REACH_LEVELS + 1):
        share = config.max_share * level / _REACH_LEVELS
        try:
            layout = drafter.draft(Plan(steps=(Cut(pattern=kind, share=share),)))
        except ShareOutOfReachError as error:
            return max(reached, float(error.fields["share"]))
        if layout.cut_damages[kind] > config.max_rise:
            return reached
        reached = share
    return reached


def _together(
    singles: Mapping[CutKind, Sequence[Cut]], *, low: float, ends: Sequence[BlockType], num_steps: int
) -> list[Plan]:
    """Return cuts of several kinds, cuts with bits, and both healed."""
    first = [cuts[0] for cuts in singles.values() if cuts]
    fine = [cuts[0] for kind, cuts in singles.items() if cuts and kind != "layer"]
    large = [cuts[-1] for kind, cuts in singles.items() if cuts and kind != "layer"][-1:]
    rough, rougher = (Bits(bits_per_weight=low, embedding=embedding) for embedding in (ends[0], ends[-1]))
    plans = [Plan(steps=(*first, rough)), Plan(steps=tuple(fine)), Plan(steps=(*large, rougher))]
    if num_steps:
        heal = Heal(num_steps=num_steps)
        plans += [Plan(steps=(*large, heal)), Plan(steps=(*fine, heal, rough))]
    return plans


def _strengths(drafter: Drafter, kind: CutKind) -> tuple[Cut, ...]:
    reach = reach_of(drafter, kind)
    if reach < _LEAST_SHARE:
        return ()
    return tuple(Cut(pattern=kind, share=round(part * reach, 4)) for part in (_SMALL, _LARGE))


def _can_be_drafted(drafter: Drafter, plan: Plan) -> bool:
    try:
        drafter.draft(plan)
    except ShareOutOfReachError:
        return False
    return True


def _plain_layout(graph: DependencyGraph) -> Layout:
    return _without(graph, ())


def _without(graph: DependencyGraph, gone: Sequence[Structure]) -> Layout:
    closed = close_structures(graph, gone) if gone else ()
    shapes = graph.shapes_without(closed)
    paths = [path for path in graph.architecture.linear_paths if f"{path}.weight" in shapes]
    return Layout(
        structures=closed,
        cut_damages={},
        shapes=shapes,
        types=dict.fromkeys(paths, "f16"),
        embedding="f16",
        bit_damage=0.0,
        is_healed=False,
    )


def _pure(layout: Layout, kind: StoredType, embedding: BlockType) -> FileProbe:
    return FileProbe(name=f"{kind}, embedding {embedding}", layout=_typed(layout, kind, embedding))


def _typed(layout: Layout, kind: StoredType, embedding: BlockType) -> Layout:
    return replace(layout, types={path: _fit(layout, path, kind) for path in layout.types}, embedding=embedding)


def _halves(layout: Layout, pair: tuple[BlockType, BlockType], embedding: BlockType) -> FileProbe:
    """Return a file whose linears have two types in turns, so that each type is in two files."""
    chosen = {path: _fit(layout, path, pair[place % 2]) for place, path in enumerate(layout.types)}
    return FileProbe(name=f"half {pair[0]}, half {pair[1]}", layout=replace(layout, types=chosen, embedding=embedding))


def _fit(layout: Layout, path: str, kind: StoredType) -> StoredType:
    width = layout.shapes[f"{path}.weight"][1]
    return kind if width % GgufType[kind.upper()].block_size == 0 else "f16"


def _shapes(graph: DependencyGraph, ground: Ground) -> Iterator[tuple[str, list[Structure]]]:
    """Yield shapes that differ from the model's own in one respect each."""
    layers = graph.architecture.layers
    if len(layers) > 2:
        yield "half the layers", [Structure(kind="layer", layer=index) for index in range(1, len(layers) - 1, 2)]
    if not ground.holds_differing_layers:
        return
    yield (
        "half the neurons",
        [
            Structure(kind="neuron", layer=layer.index, index=number)
            for layer in layers
            for number in range(layer.feed_forward_size // 64 * 32)
        ],
    )
    if all(layer.num_kv_heads > 1 for layer in layers):
        yield "one key-value group less", [Structure(kind="kv_group", layer=layer.index, index=0) for layer in layers]


def _kinds_after(graph: DependencyGraph, layout: Layout) -> dict[str, GgufType]:
    """Return the type of each tensor with blocks, by its name once the layers that went are counted no more."""
    architecture = graph.architecture
    kinds = {f"{path}.weight": GgufType[kind.upper()] for path, kind in renumbered(layout.types).items()}
    ends = {f"{architecture.embedding}.weight"} | {f"{architecture.head}.weight"}
    kinds |= {name: GgufType[layout.embedding.upper()] for name in ends & set(graph.shapes)}
    return {name: kind for name, kind in kinds.items() if kind.is_quantized}


def _bits_of(kind: BlockType) -> float:
    return GgufType[kind.upper()].bits_per_weight
