"""Taking parts out of a model in memory: neurons, heads, blocks, layers, rows of the embedding.

Theory of operation. A part that is out is as a part whose outgoing weights are zero: the rest computes what it did, so
the rest is not touched, bit for bit. A neuron is a row of gate and up and a column of down; a query head is `head_dim`
rows of q and columns of o; a KV group is the rows of k and v of one key-value head with the query heads that read it.
A block without any becomes a module that adds nothing, and the norm before it goes too. Everything is checked before
the first change: after an error the model is as it was.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from torch import nn
from transformers import PreTrainedModel

from birdbone.models.absent import AbsentAttention, AbsentFeedForward
from birdbone.models.architecture import Architecture, LayerLayout, LinearSlot, NormRole
from birdbone.models.cutting import keep_columns, keep_rows
from birdbone.models.errors import SurgeryError
from birdbone.models.families import FAMILIES
from birdbone.models.inspection import describe_architecture
from birdbone.models.layer_sizes import put_common_sizes
from birdbone.models.vocabulary import cut_vocabulary, plan_vocabulary

_ATTENTION_NORMS: tuple[NormRole, ...] = ("attention", "post_attention")
_FEED_FORWARD_NORMS: tuple[NormRole, ...] = ("feed_forward", "post_feed_forward")


@dataclass(frozen=True, slots=True, kw_only=True)
class LayerKeep:
    """What stays of one layer, by index; None keeps all, an empty tuple takes the whole block out.

    Attributes:
        neurons: of the feed-forward.
        query_heads: those whose KV group stays too; a group that loses all of its query heads goes.
        kv_groups: each with the query heads that read it.
    """

    neurons: tuple[int, ...] | None = None
    query_heads: tuple[int, ...] | None = None
    kv_groups: tuple[int, ...] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Shrunk:
    """What a model is after surgery.

    Attributes:
        architecture: where everything lies now.
        token_ids: the old id of each row of the embedding, or None where all rows stayed.
        num_parameters_before, num_parameters_after: a tied head counts once.
    """

    architecture: Architecture
    token_ids: tuple[int, ...] | None
    num_parameters_before: int
    num_parameters_after: int


@dataclass(frozen=True, slots=True, kw_only=True)
class _LayerPlan:
    """The indices that stay of one layer, or None where the block is left as it is."""

    layout: LayerLayout
    neurons: list[int] | None
    heads: tuple[list[int], list[int]] | None
    """Query heads and KV groups."""


def shrink_model(
    model: PreTrainedModel,
    architecture: Architecture,
    keep_by_layer: Mapping[int, LayerKeep],
    *,
    layers: Sequence[int] | None = None,
    vocabulary: Sequence[int] | None = None,
) -> Shrunk:
    """Take everything out of `model` that is not to stay, in place, and return what it is now.

    Its configuration follows: number of layers, size of the vocabulary, and the sizes that all layers share. Weights
    that stay keep their values bit for bit, their `requires_grad` and their tying; gradients are dropped.

    Args:
        architecture: of `model` as it is.
        keep_by_layer: by the index that a layer has before; layers without an entry stay whole.
        layers: indices of the layers that stay; None keeps all.
        vocabulary: token ids whose rows of embedding and head stay; the rows close up in rising order, and the special
            ids of the configuration follow. None keeps all. The tokenizer is not changed: it must give the new ids.

    Raises:
        SurgeryError: an index that does not exist; KV groups that keep different numbers of query heads; no layer or no
            token left; a special token without its row.
    """
    kept_layers = _kept("layers", layers, architecture.num_layers)
    if not kept_layers:
        raise SurgeryError("No layer would be left.")
    _kept("keep_by_layer", list(keep_by_layer), architecture.num_layers)
    plans = [_plan_layer(architecture, index, keep) for index, keep in sorted(keep_by_layer.items())]
    token_ids = None if vocabulary is None else plan_vocabulary(model, architecture, vocabulary)
    before = model.num_parameters()
    for plan in plans:
        if plan.layout.index in kept_layers:
            _cut_layer(model, architecture, plan)
    _keep_layers(model, architecture, kept_layers)
    if token_ids is not None:
        cut_vocabulary(model, architecture, token_ids)
    shrunk = describe_architecture(model)
    put_common_sizes(model.config, shrunk)
    return Shrunk(
        architecture=describe_architecture(model),
        token_ids=None if token_ids is None else tuple(token_ids),
        num_parameters_before=before,
        num_parameters_after=model.num_parameters(),
    )


def _kept(what: str, indices: Iterable[int] | None, count: int) -> list[int]:
    """Return the indices in rising order, all where None is given, having checked that they exist."""
    kept = list(range(count)) if indices is None else sorted(set(indices))
    outside = [index for index in kept if not 0 <= index < count]
    if outside:
        raise SurgeryError(f"{what}: there is no index {outside[0]}, they go from 0 to {count - 1}.", index=outside[0])
    return kept


def _plan_layer(architecture: Architecture, index: int, keep: LayerKeep) -> _LayerPlan:
    layout = architecture.layers[index]
    neurons = _kept(f"neurons of layer {index}", keep.neurons, layout.feed_forward_size)
    return _LayerPlan(
        layout=layout,
        neurons=None if len(neurons) == layout.feed_forward_size else neurons,
        heads=_plan_heads(layout, keep),
    )


def _plan_heads(layout: LayerLayout, keep: LayerKeep) -> tuple[list[int], list[int]] | None:
    heads = _kept(f"query heads of layer {layout.index}", keep.query_heads, layout.num_heads)
    groups = _kept(f"KV groups of layer {layout.index}", keep.kv_groups, layout.num_kv_heads)
    heads_per_group = layout.num_heads // max(1, layout.num_kv_heads)
    by_group = {group: [head for head in heads if head // heads_per_group == group] for group in groups}
    staying = {group: members for group, members in by_group.items() if members}
    if len({len(members) for members in staying.values()}) > 1:
        counts = ", ".join(f"{group}: {len(members)}" for group, members in staying.items())
        raise SurgeryError(
            f"The KV groups of layer {layout.index} must keep equally many query heads; they would keep {counts}.",
            hint="Take out the same number of query heads from each group, or whole groups.",
            layer=layout.index,
        )
    query_heads = [head for members in staying.values() for head in members]
    return None if len(query_heads) == layout.num_heads else (query_heads, list(staying))


def _cut_layer(model: PreTrainedModel, architecture: Architecture, plan: _LayerPlan) -> None:
    if plan.neurons is not None:
        _cut_feed_forward(model, architecture, plan.layout, plan.neurons)
    if plan.heads is not None:
        _cut_attention(model, architecture, plan.layout, *plan.heads)


def _cut_feed_forward(
    model: PreTrainedModel, architecture: Architecture, layout: LayerLayout, neurons: list[int]
) -> None:
    if not neurons:
        _take_feed_forward_out(model, architecture, layout)
        return
    for slot in layout.feed_forward:
        linear = _linear(model, slot)
        if slot.role == "down":
            keep_columns(linear, neurons)
        else:
            keep_rows(linear, _rows(slot, {"gate": neurons, "up": neurons}))


def _cut_attention(
    model: PreTrainedModel, architecture: Architecture, layout: LayerLayout, heads: list[int], groups: list[int]
) -> None:
    if not heads:
        _take_attention_out(model, architecture, layout)
        return
    q_rows, kv_rows = (_rows_of_heads(indices, architecture.head_dim) for indices in (heads, groups))
    for slot in layout.attention:
        linear = _linear(model, slot)
        if slot.role == "o":
            keep_columns(linear, q_rows)
        else:
            keep_rows(linear, _rows(slot, {"q": q_rows, "k": kv_rows, "v": kv_rows}))
    _tell_head_counts(model, architecture, layout, num_heads=len(heads), num_kv_heads=len(groups))


def _tell_head_counts(
    model: PreTrainedModel, architecture: Architecture, layout: LayerLayout, *, num_heads: int, num_kv_heads: int
) -> None:
    template = FAMILIES[architecture.family]
    attention: Any = model.get_submodule(f"{layout.path}.{template.attention_module}")
    counts = {
        "num_heads": num_heads,
        "num_key_value_heads": num_kv_heads,
        "num_key_value_groups": num_heads // num_kv_heads,
    }
    for name in counts.keys() & vars(attention).keys():
        setattr(attention, name, counts[name])
    if template.reads_heads_from_config:
        attention.config = _ConfigOfLayer(model.config, num_heads)


class _ConfigOfLayer:
    """The model's configuration as one attention sees it, with its own number of heads (Phi-3 reads it there)."""

    def __init__(self, config: Any, num_attention_heads: int) -> None:
        self._config = config
        self.num_attention_heads = num_attention_heads

    def __getattr__(self, name: str) -> Any:
        # A copy asks for attributes before it has any.
        if name.startswith("__") or "_config" not in vars(self):
            raise AttributeError(name)
        return getattr(self._config, name)


def _take_attention_out(model: PreTrainedModel, architecture: Architecture, layout: LayerLayout) -> None:
    layer: Any = model.get_submodule(layout.path)
    name = FAMILIES[architecture.family].attention_module
    setattr(layer, name, AbsentAttention(getattr(layer, name).layer_idx))
    _take_norms_out(model, layout, _ATTENTION_NORMS)


def _take_feed_forward_out(model: PreTrainedModel, architecture: Architecture, layout: LayerLayout) -> None:
    template = FAMILIES[architecture.family]
    layer = model.get_submodule(layout.path)
    for name in template.feed_forward.values():
        if "." not in name:  # OPT has no module around its two linears
            setattr(layer, name, nn.Identity())
    setattr(layer, template.feed_forward_module, AbsentFeedForward())
    _take_norms_out(model, layout, _FEED_FORWARD_NORMS)


def _take_norms_out(model: PreTrainedModel, layout: LayerLayout, roles: Iterable[NormRole]) -> None:
    if not getattr(model.config, "do_layer_norm_before", True):
        return  # OPT-350M norms the sum, which stays
    layer = model.get_submodule(layout.path)
    for role in roles:
        if role in layout.norms:
            setattr(layer, layout.norms[role].removeprefix(f"{layout.path}."), nn.Identity())


def _keep_layers(model: PreTrainedModel, architecture: Architecture, kept: list[int]) -> None:
    if len(kept) == architecture.num_layers:
        return
    root: Any = model.get_submodule(FAMILIES[architecture.family].root)
    root.layers = nn.ModuleList([root.layers[index] for index in kept])
    for position, layer in enumerate(root.layers):
        for module in layer.modules():
            if "layer_idx" in vars(module):
                module.layer_idx = position
    config: Any = model.config
    config.num_hidden_layers = len(kept)
    if getattr(config, "layer_types", None) is not None:
        config.layer_types = [config.layer_types[index] for index in kept]
        if "has_sliding_layers" in vars(root):
            root.has_sliding_layers = "sliding_attention" in config.layer_types


def _rows_of_heads(heads: list[int], head_dim: int) -> list[int]:
    return [head * head_dim + row for head in heads for row in range(head_dim)]


def _rows(slot: LinearSlot, kept: Mapping[str, list[int]]) -> list[int]:
    """Return which rows of a linear stay, in the order of storage; `kept` counts each part's rows from 0."""
    if slot.fused is None:
        return kept[slot.role]
    rows = {part: slot.fused.rows(part) for part in slot.fused.parts}
    return sorted(rows[part][index] for part in slot.fused.parts for index in kept[part])


def _linear(model: PreTrainedModel, slot: LinearSlot) -> nn.Linear:
    linear = model.get_submodule(slot.path)
    assert isinstance(linear, nn.Linear)
    return linear
