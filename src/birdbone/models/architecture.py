"""What a decoder-only language model is made of and where each part lies. Plain data, free of torch.

A `LinearSlot` weighs `out_features` x `in_features`, as `torch.nn.Linear` stores it. Linears of one `InputGroup` read
the very same tensor, so that a statistic of their input (E[x²], XᵀX) is collected once for the group.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

Family = Literal["llama", "mistral", "qwen2", "qwen3", "gemma", "gemma2", "gemma3", "phi3", "gpt_neox", "opt"]
LinearRole = Literal["q", "k", "v", "qkv", "o", "gate", "up", "gate_up", "down"]
NormRole = Literal["attention", "post_attention", "feed_forward", "post_feed_forward", "query", "key"]
InputGroupName = Literal["attention_input", "attention_output", "feed_forward_input", "feed_forward_output"]
NormKind = Literal["rms", "rms_plus_one", "layer"]
"""`rms_plus_one` (Gemma) stores its weight less one: the scale applied is `1 + weight`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RopeSettings:
    """Rotary position embedding.

    Attributes:
        theta: base of the frequencies.
        kind: `default`, or the name of a scaling rule (`linear`, `dynamic`, `yarn`, `longrope`, `llama3`).
        partial_fraction: share of each head's dimensions that is rotated, from the first on.
        scaling: the rule's own numbers as the configuration gives them; empty for `default`.
    """

    theta: float
    kind: str
    partial_fraction: float
    scaling: Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class FusedRows:
    """How the rows of a fused linear divide among its parts.

    `blocked` (Phi-3): all rows of the first part, then all of the next. `per_head` (GPT-NeoX): for each head in turn
    its rows of each part.

    Attributes:
        parts: names of the parts in their order of storage.
        sizes: rows of each part over the whole matrix.
        num_heads: number of turns; 1 when blocked.
    """

    parts: tuple[str, ...]
    sizes: tuple[int, ...]
    order: Literal["blocked", "per_head"]
    num_heads: int

    def rows(self, part: str) -> list[int]:
        """Return the row indices of `part`, ordered as the unfused matrix would have them."""
        position = self.parts.index(part)
        turn = [size // self.num_heads for size in self.sizes]
        start = sum(turn[:position])
        return [head * sum(turn) + start + row for head in range(self.num_heads) for row in range(turn[position])]


@dataclass(frozen=True, slots=True, kw_only=True)
class LinearSlot:
    """One prunable linear: its role, its full module path and its shape; `fused` when it holds several matrices."""

    role: LinearRole
    path: str
    out_features: int
    in_features: int
    has_bias: bool
    fused: FusedRows | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class InputGroup:
    """Full module paths of the linears that read one input tensor, and its width."""

    name: InputGroupName
    linears: tuple[str, ...]
    in_features: int


@dataclass(frozen=True, slots=True, kw_only=True)
class LayerLayout:
    """Where the parts of one decoder layer lie.

    Attributes:
        index: position of the layer, from 0.
        path: full module path of the layer.
        attention: its attention linears, in the order in which they run; none where the attention was taken out.
        feed_forward: its feed-forward linears, in the order in which they run; none where it was taken out.
        norms: full module path by role; roles that the family lacks, or that were taken out, are absent.
        input_groups: which linears share an input, in the order in which they run.
        num_heads, num_kv_heads: query heads and key-value heads; layers of one model may differ, 0 without attention.
        feed_forward_size: width between up and down; layers of one model may differ, 0 without feed-forward.
        sliding_window: tokens that a query sees, itself included, or None for all before it.
        is_parallel: attention and feed-forward both read the block's input (GPT-NeoX).
    """

    index: int
    path: str
    attention: tuple[LinearSlot, ...]
    feed_forward: tuple[LinearSlot, ...]
    norms: Mapping[NormRole, str]
    input_groups: tuple[InputGroup, ...]
    num_heads: int
    num_kv_heads: int
    feed_forward_size: int
    sliding_window: int | None
    is_parallel: bool

    @property
    def linears(self) -> tuple[LinearSlot, ...]:
        """All prunable linears of the layer, attention first."""
        return self.attention + self.feed_forward

    def linear(self, role: LinearRole) -> LinearSlot | None:
        """Return the linear of that role, or None where the family fuses or lacks it."""
        return next((slot for slot in self.linears if slot.role == role), None)

    def group_of(self, path: str) -> InputGroup:
        """Return the input group that the linear at `path` belongs to.

        Raises:
            KeyError: the path is none of this layer's linears.
        """
        for group in self.input_groups:
            if path in group.linears:
                return group
        raise KeyError(path)


@dataclass(frozen=True, slots=True, kw_only=True)
class Architecture:
    """A causal language model as found by inspection; all paths are full module paths.

    Attributes:
        family: which of the known families.
        vocab_size: rows of the embedding.
        num_heads, num_kv_heads: as the configuration says; each layer's own are in its layout.
        context_length: longest sequence that the configuration promises.
        sliding_window: window of the layers that have one, or None (each layer's own is in its layout).
        rope: rotary settings, or None for learned positions (OPT).
        local_rope: rotary settings of the layers with a sliding window, where they differ (Gemma 3).
        is_embedding_tied: the head's weight is the embedding's weight, the same tensor.
        activation: name of the feed-forward activation as in the configuration.
        norm_epsilon: the number added to the variance.
        position_embedding: learned positions, or None.
        final_norm: None where the family has none after the last layer (OPT-350M).
        head_projection: a linear between final norm and head (OPT-350M), or None.
        attention_softcap, logit_softcap: c of `c * tanh(x / c)` (Gemma 2 and 3), or None.
        layers: one layout a layer.
    """

    family: Family
    num_layers: int
    hidden_size: int
    vocab_size: int
    num_heads: int
    num_kv_heads: int
    head_dim: int
    context_length: int
    sliding_window: int | None
    rope: RopeSettings | None
    local_rope: RopeSettings | None
    is_embedding_tied: bool
    activation: str
    norm_kind: NormKind
    norm_epsilon: float
    embedding: str
    position_embedding: str | None
    final_norm: str | None
    head_projection: str | None
    head: str
    attention_softcap: float | None
    logit_softcap: float | None
    layers: tuple[LayerLayout, ...]

    def layer_path(self, index: int) -> str:
        """Return the full module path of layer `index`."""
        return self.layers[index].path

    @property
    def linear_paths(self) -> tuple[str, ...]:
        """Paths of all prunable linears in the order in which they run; not embedding, not head."""
        return tuple(slot.path for layer in self.layers for slot in layer.linears)
