"""Describing a loaded model: the family by its configuration, every part by looking at the module itself."""

from __future__ import annotations

from typing import Any

from torch import nn
from transformers import PreTrainedModel

from birdbone.models.architecture import Architecture, Family, RopeSettings
from birdbone.models.errors import ArchitectureMismatchError, UnsupportedArchitectureError
from birdbone.models.families import FAMILIES, FamilyTemplate, family_of
from birdbone.models.layer_inspection import describe_layer, head_dim_of
from birdbone.models.modules import module_at, optional_module, require_module

_HEAD = "lm_head"


def describe_architecture(model: PreTrainedModel) -> Architecture:
    """Return where everything lies in `model`, having checked that it is there and has the expected shape.

    Heads and feed-forward width may differ from layer to layer: they are read from the modules.

    Raises:
        UnsupportedArchitectureError: the family is not known (names those that are).
        ArchitectureMismatchError: a module is missing or has another shape (names it).
    """
    config: Any = model.config
    family = require_family(config.model_type)
    template = FAMILIES[family]
    _require_causal_head(model, template)
    _require_layers(model, template)
    embedding = module_at(model, f"{template.root}.{template.embedding}", nn.Embedding)
    return Architecture(
        family=family,
        num_layers=int(config.num_hidden_layers),
        hidden_size=int(config.hidden_size),
        vocab_size=embedding.num_embeddings,
        num_heads=int(config.num_attention_heads),
        num_kv_heads=int(getattr(config, "num_key_value_heads", None) or config.num_attention_heads),
        head_dim=head_dim_of(config),
        context_length=int(config.max_position_embeddings),
        sliding_window=getattr(config, "sliding_window", None),
        rope=_rope(config, template, "full_attention"),
        local_rope=_local_rope(config, template),
        is_embedding_tied=module_at(model, _HEAD, nn.Linear).weight is embedding.weight,
        activation=str(getattr(config, template.activation_key)),
        norm_kind=template.norm_kind,
        norm_epsilon=_epsilon(config, template),
        embedding=f"{template.root}.{template.embedding}",
        position_embedding=_position_path(model, template),
        final_norm=_final_norm(model, template),
        head_projection=optional_module(model, f"{template.root}.project_out"),
        head=_HEAD,
        attention_softcap=getattr(config, "attn_logit_softcapping", None),
        logit_softcap=getattr(config, "final_logit_softcapping", None),
        layers=tuple(describe_layer(model, template, index) for index in range(config.num_hidden_layers)),
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
    return {path: module_at(model, path, nn.Linear) for path in architecture.linear_paths}


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
        if optional_module(model, path) is None:
            message = f"{type(model).__name__} has no module `{path}`: it is not a causal language model of its family."
            raise ArchitectureMismatchError(message, path=path)


def _require_layers(model: PreTrainedModel, template: FamilyTemplate) -> None:
    promised, found = model.config.num_hidden_layers, len(module_at(model, f"{template.root}.layers", nn.ModuleList))
    if found != promised:
        raise ArchitectureMismatchError(f"The configuration promises {promised} layers, the model has {found}.")


def _final_norm(model: PreTrainedModel, template: FamilyTemplate) -> str | None:
    path = f"{template.root}.{template.final_norm}"
    return require_module(model, path) if template.always_has_final_norm else optional_module(model, path)


def _position_path(model: PreTrainedModel, template: FamilyTemplate) -> str | None:
    if template.position_embedding is None:
        return None
    return require_module(model, f"{template.root}.{template.position_embedding}")
