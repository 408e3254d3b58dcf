"""Describing a loaded model: the family by its configuration, every part by looking at the module itself."""

from __future__ import annotations

from typing import Any, TypeVar

from torch import nn
from transformers import PreTrainedModel

from birdbone.models.architecture import (
    Architecture,
    Family,
    FusedRows,
    InputGroup,
    InputGroupName,
    LayerLayout,
    LinearRole,
    LinearSlot,
    RopeSettings,
)
from birdbone.models.errors import ArchitectureMismatchError, UnsupportedArchitectureError
from birdbone.models.families import FAMILIES, FamilyTemplate, family_of

ModuleT = TypeVar("ModuleT", bound=nn.Module)

_HEAD = "lm_head"
_GROUPS: dict[InputGroupName, tuple[LinearRole, ...]] = {
    "attention_input": ("q", "k", "v", "qkv"),
    "attention_output": ("o",),
    "feed_forward_input": ("gate", "up", "gate_up"),
    "feed_forward_output": ("down",),
}


def describe_architecture(model: PreTrainedModel) -> Architecture:
    """Return where everything lies in `model`, having checked that it is there and has the expected shape.

    Attention must have the configuration's heads; the feed-forward width may differ from layer to layer.

    Raises:
        UnsupportedArchitectureError: the family is not known (names those that are).
        ArchitectureMismatchError: a module is missing or has another shape (names it).
    """
    config: Any = model.config
    family = require_family(config.model_type)
    template = FAMILIES[family]
    _require_causal_head(model, template)
    _require_layers(model, template)
    embedding = _module(model, f"{template.root}.{template.embedding}", nn.Embedding)
    return Architecture(
        family=family,
        num_layers=int(config.num_hidden_layers),
        hidden_size=int(config.hidden_size),
        vocab_size=embedding.num_embeddings,
        num_heads=int(config.num_attention_heads),
        num_kv_heads=_num_kv_heads(config),
        head_dim=_head_dim(config),
        context_length=int(config.max_position_embeddings),
        sliding_window=getattr(config, "sliding_window", None),
        rope=_rope(config, template, "full_attention"),
        local_rope=_local_rope(config, template),
        is_embedding_tied=_module(model, _HEAD, nn.Linear).weight is embedding.weight,
        activation=str(getattr(config, template.activation_key)),
        norm_kind=template.norm_kind,
        norm_epsilon=_epsilon(config, template),
        embedding=f"{template.root}.{template.embedding}",
        position_embedding=_position_path(model, template),
        final_norm=_final_norm(model, template),
        head_projection=_optional(model, f"{template.root}.project_out"),
        head=_HEAD,
        attention_softcap=getattr(config, "attn_logit_softcapping", None),
        logit_softcap=getattr(config, "final_logit_softcapping", None),
        layers=tuple(_describe_layer(model, template, index) for index in range(config.num_hidden_layers)),
    )


def require_family(model_type: str) -> Family:
    """Return the family of a configuration's `model_type`.

    Raises:
        UnsupportedArchitectureError: it is none of the known families.
    """
    family = family_of(model_type)
    if family is None:
        supported = ", ".join(FAMILIES)
        message = f"The architecture `{model_type}` is not supported. Supported: {supported}."
        raise UnsupportedArchitectureError(message, architecture=model_type, supported=list(FAMILIES))
    return family


def decoder_layers(model: PreTrainedModel, architecture: Architecture) -> list[nn.Module]:
    """Return the decoder layers in their order."""
    return [model.get_submodule(layer.path) for layer in architecture.layers]


def linear_modules(model: PreTrainedModel, architecture: Architecture) -> dict[str, nn.Linear]:
    """Return every prunable linear by its full module path, in the order in which they run; not embedding, not head."""
    return {path: _module(model, path, nn.Linear) for path in architecture.linear_paths}


def _describe_layer(model: PreTrainedModel, template: FamilyTemplate, index: int) -> LayerLayout:
    path = f"{template.root}.layers.{index}"
    attention = tuple(_slot(model, role, f"{path}.{name}") for role, name in template.attention.items())
    feed_forward = tuple(_slot(model, role, f"{path}.{name}") for role, name in template.feed_forward.items())
    attention = tuple(_with_attention_rows(slot, template, model.config) for slot in attention)
    feed_forward = tuple(_with_feed_forward_rows(slot) for slot in feed_forward)
    layout = LayerLayout(
        index=index,
        path=path,
        attention=attention,
        feed_forward=feed_forward,
        norms={role: _require(model, f"{path}.{name}") for role, name in template.norms.items()},
        input_groups=_input_groups(attention + feed_forward),
        feed_forward_size=feed_forward[-1].in_features,
        sliding_window=_layer_window(model.config, template, index),
        is_parallel=bool(getattr(model.config, "use_parallel_residual", False)),
    )
    _check_shapes(layout, model.config)
    return layout


def _slot(model: PreTrainedModel, role: LinearRole, path: str) -> LinearSlot:
    linear = _module(model, path, nn.Linear)
    rows, columns = linear.weight.shape
    return LinearSlot(role=role, path=path, out_features=rows, in_features=columns, has_bias=linear.bias is not None)


def _with_attention_rows(slot: LinearSlot, template: FamilyTemplate, config: Any) -> LinearSlot:
    if slot.role != "qkv" or template.qkv_order is None:
        return slot
    q_rows, kv_rows = _attention_rows(config)
    num_turns = int(config.num_attention_heads) if template.qkv_order == "per_head" else 1
    fused = FusedRows(
        parts=("q", "k", "v"), sizes=(q_rows, kv_rows, kv_rows), order=template.qkv_order, num_heads=num_turns
    )
    return _fuse(slot, fused)


def _with_feed_forward_rows(slot: LinearSlot) -> LinearSlot:
    if slot.role != "gate_up":
        return slot
    half = slot.out_features // 2
    return _fuse(slot, FusedRows(parts=("gate", "up"), sizes=(half, half), order="blocked", num_heads=1))


def _fuse(slot: LinearSlot, fused: FusedRows) -> LinearSlot:
    return LinearSlot(
        role=slot.role,
        path=slot.path,
        out_features=slot.out_features,
        in_features=slot.in_features,
        has_bias=slot.has_bias,
        fused=fused,
    )


def _input_groups(slots: tuple[LinearSlot, ...]) -> tuple[InputGroup, ...]:
    groups = []
    for name, roles in _GROUPS.items():
        members = [slot for slot in slots if slot.role in roles]
        paths = tuple(slot.path for slot in members)
        groups.append(InputGroup(name=name, linears=paths, in_features=members[0].in_features))
    return tuple(groups)


def _check_shapes(layout: LayerLayout, config: Any) -> None:
    hidden, width = int(config.hidden_size), layout.feed_forward_size
    q_rows, kv_rows = _attention_rows(config)
    expected: dict[LinearRole, tuple[int, int]] = {
        "q": (q_rows, hidden),
        "k": (kv_rows, hidden),
        "v": (kv_rows, hidden),
        "qkv": (q_rows + 2 * kv_rows, hidden),
        "o": (hidden, q_rows),
        "gate": (width, hidden),
        "up": (width, hidden),
        "gate_up": (2 * width, hidden),
        "down": (hidden, width),
    }
    for slot in layout.linears:
        found = (slot.out_features, slot.in_features)
        if found != expected[slot.role]:
            message = f"{slot.path}.weight should have shape {expected[slot.role]}, it has {found}."
            raise ArchitectureMismatchError(message, path=slot.path)


def _attention_rows(config: Any) -> tuple[int, int]:
    return int(config.num_attention_heads) * _head_dim(config), _num_kv_heads(config) * _head_dim(config)


def _head_dim(config: Any) -> int:
    return int(getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads)


def _num_kv_heads(config: Any) -> int:
    return int(getattr(config, "num_key_value_heads", None) or config.num_attention_heads)


def _layer_window(config: Any, template: FamilyTemplate, index: int) -> int | None:
    if template.uses_layer_types and config.layer_types[index] != "sliding_attention":
        return None
    window = getattr(config, "sliding_window", None)
    return None if window is None else int(window)


def _epsilon(config: Any, template: FamilyTemplate) -> float:
    # OPT has no key for it: its norms are plain `nn.LayerNorm`.
    return 1e-5 if template.epsilon_key is None else float(getattr(config, template.epsilon_key))


def _rope(config: Any, template: FamilyTemplate, layer_type: str) -> RopeSettings | None:
    if not template.has_rope:
        return None
    values = dict(config.rope_parameters)
    values = dict(values.get(layer_type, values))  # Gemma 3 keeps one set for each type of layer
    theta, kind = float(values.pop("rope_theta")), str(values.pop("rope_type"))
    fraction = float(values.pop("partial_rotary_factor", None) or 1.0)
    return RopeSettings(theta=theta, kind=kind, partial_fraction=fraction, scaling=values)


def _local_rope(config: Any, template: FamilyTemplate) -> RopeSettings | None:
    local = _rope(config, template, "sliding_attention")
    return None if local == _rope(config, template, "full_attention") else local


def _require_causal_head(model: PreTrainedModel, template: FamilyTemplate) -> None:
    for path in (template.root, _HEAD):
        if _optional(model, path) is None:
            message = f"{type(model).__name__} has no module `{path}`: it is not a causal language model of its family."
            raise ArchitectureMismatchError(message, path=path)


def _require_layers(model: PreTrainedModel, template: FamilyTemplate) -> None:
    promised, found = model.config.num_hidden_layers, len(_module(model, f"{template.root}.layers", nn.ModuleList))
    if found != promised:
        raise ArchitectureMismatchError(f"The configuration promises {promised} layers, the model has {found}.")


def _final_norm(model: PreTrainedModel, template: FamilyTemplate) -> str | None:
    path = f"{template.root}.{template.final_norm}"
    return _require(model, path) if template.always_has_final_norm else _optional(model, path)


def _position_path(model: PreTrainedModel, template: FamilyTemplate) -> str | None:
    if template.position_embedding is None:
        return None
    return _require(model, f"{template.root}.{template.position_embedding}")


def _optional(model: PreTrainedModel, path: str) -> str | None:
    module: Any = model
    for name in path.split("."):
        module = getattr(module, name, None)
    return path if isinstance(module, nn.Module) else None


def _require(model: PreTrainedModel, path: str) -> str:
    if _optional(model, path) is None:
        raise ArchitectureMismatchError(f"The model has no module `{path}`.", path=path)
    return path


def _module(model: PreTrainedModel, path: str, kind: type[ModuleT]) -> ModuleT:
    module = model.get_submodule(_require(model, path))
    if not isinstance(module, kind):
        message = f"`{path}` should be a {kind.__name__}, it is a {type(module).__name__}."
        raise ArchitectureMismatchError(message, path=path)
    return module
