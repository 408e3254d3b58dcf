"""The catalogue of families: under which names each keeps its parts. Paths are relative to the root or to a layer."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from birdbone.models.architecture import Family, LinearRole, NormKind, NormRole


@dataclass(frozen=True, slots=True, kw_only=True)
class FamilyTemplate:
    """Names of one family's modules and configuration keys.

    Attributes:
        model_type: `model_type` of its configuration.
        root: module that holds embedding and layers.
        attention, feed_forward, norms: path within a layer by role, in the order in which they run.
        qkv_order: how a fused q, k, v divides; None where they are apart.
        always_has_final_norm: False where a member of the family ends without one (OPT-350M).
        reads_heads_from_config: its attention asks the configuration, each time, how many heads it has (Phi-3).
        uses_layer_types: `config.layer_types` says which layers have the sliding window; otherwise all have it.
    """

    model_type: str
    root: str
    embedding: str = "embed_tokens"
    position_embedding: str | None = None
    final_norm: str = "norm"
    always_has_final_norm: bool = True
    attention: Mapping[LinearRole, str]
    feed_forward: Mapping[LinearRole, str]
    norms: Mapping[NormRole, str]
    norm_kind: NormKind = "rms"
    qkv_order: Literal["blocked", "per_head"] | None = None
    activation_key: str = "hidden_act"
    epsilon_key: str | None = "rms_norm_eps"
    uses_layer_types: bool = False
    has_rope: bool = True
    reads_heads_from_config: bool = False

    @property
    def attention_module(self) -> str:
        """Path within a layer of the module that holds the attention."""
        return self.attention["o"].partition(".")[0]

    @property
    def feed_forward_module(self) -> str:
        """Path within a layer of the module that holds the feed-forward, or of its last linear (OPT)."""
        return self.feed_forward["down"].partition(".")[0]


_LLAMA_ATTENTION: Mapping[LinearRole, str] = {
    "q": "self_attn.q_proj",
    "k": "self_attn.k_proj",
    "v": "self_attn.v_proj",
    "o": "self_attn.o_proj",
}
_LLAMA_FEED_FORWARD: Mapping[LinearRole, str] = {"gate": "mlp.gate_proj", "up": "mlp.up_proj", "down": "mlp.down_proj"}
_LLAMA_NORMS: Mapping[NormRole, str] = {"attention": "input_layernorm", "feed_forward": "post_attention_layernorm"}
_HEAD_NORMS: Mapping[NormRole, str] = {"query": "self_attn.q_norm", "key": "self_attn.k_norm"}
# Gemma 2 and 3 norm before and after each half, so `post_attention_layernorm` is not what Llama calls by that name.
_SANDWICH_NORMS: Mapping[NormRole, str] = {
    "attention": "input_layernorm",
    "post_attention": "post_attention_layernorm",
    "feed_forward": "pre_feedforward_layernorm",
    "post_feed_forward": "post_feedforward_layernorm",
}


def _llama_like(
    model_type: str,
    *,
    norms: Mapping[NormRole, str] = _LLAMA_NORMS,
    norm_kind: NormKind = "rms",
    activation_key: str = "hidden_act",
    uses_layer_types: bool = False,
) -> FamilyTemplate:
    return FamilyTemplate(
        model_type=model_type,
        root="model",
        attention=_LLAMA_ATTENTION,
        feed_forward=_LLAMA_FEED_FORWARD,
        norms=norms,
        norm_kind=norm_kind,
        activation_key=activation_key,
        uses_layer_types=uses_layer_types,
    )


FAMILIES: Mapping[Family, FamilyTemplate] = {
    "llama": _llama_like("llama"),
    "mistral": _llama_like("mistral"),
    "qwen2": _llama_like("qwen2", uses_layer_types=True),
    "qwen3": _llama_like("qwen3", norms={**_LLAMA_NORMS, **_HEAD_NORMS}, uses_layer_types=True),
    "gemma": _llama_like("gemma", norm_kind="rms_plus_one"),
    "gemma2": _llama_like(
        "gemma2",
        norms=_SANDWICH_NORMS,
        norm_kind="rms_plus_one",
        activation_key="hidden_activation",
        uses_layer_types=True,
    ),
    "gemma3": _llama_like(
        "gemma3_text",
        norms={**_SANDWICH_NORMS, **_HEAD_NORMS},
        norm_kind="rms_plus_one",
        activation_key="hidden_activation",
        uses_layer_types=True,
    ),
    "phi3": FamilyTemplate(
        model_type="phi3",
        root="model",
        attention={"qkv": "self_attn.qkv_proj", "o": "self_attn.o_proj"},
        feed_forward={"gate_up": "mlp.gate_up_proj", "down": "mlp.down_proj"},
        norms=_LLAMA_NORMS,
        qkv_order="blocked",
        reads_heads_from_config=True,
    ),
    "gpt_neox": FamilyTemplate(
        model_type="gpt_neox",
        root="gpt_neox",
        embedding="embed_in",
        final_norm="final_layer_norm",
        attention={"qkv": "attention.query_key_value", "o": "attention.dense"},
        feed_forward={"up": "mlp.dense_h_to_4h", "down": "mlp.dense_4h_to_h"},
        norms=_LLAMA_NORMS,
        norm_kind="layer",
        qkv_order="per_head",
        epsilon_key="layer_norm_eps",
    ),
    "opt": FamilyTemplate(
        model_type="opt",
        root="model.decoder",
        position_embedding="embed_positions",
        final_norm="final_layer_norm",
        always_has_final_norm=False,
        attention={
            "q": "self_attn.q_proj",
            "k": "self_attn.k_proj",
            "v": "self_attn.v_proj",
            "o": "self_attn.out_proj",
        },
        feed_forward={"up": "fc1", "down": "fc2"},
        norms={"attention": "self_attn_layer_norm", "feed_forward": "final_layer_norm"},
        norm_kind="layer",
        activation_key="activation_function",
        epsilon_key=None,
        has_rope=False,
    ),
}


def family_of(model_type: str) -> Family | None:
    """Return the family whose configurations say `model_type`, or None."""
    return next((family for family, template in FAMILIES.items() if template.model_type == model_type), None)
