"""The key-values that describe a model, from its Hugging Face config. No time, no path: same input, same keys.

Source: llama.cpp `conversion/base.py` and the family files beside it; ggml `docs/gguf.md` for the names.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from birdbone.models.gguf.blocks import GgufType
from birdbone.models.gguf.container import StoredArray, Uint32, Value
from birdbone.models.gguf.errors import UnsupportedExportError
from birdbone.models.gguf.layers import LayerSize, sizes_of_config
from birdbone.models.gguf.names import GgufFamily, family_of

_QUANTIZATION_VERSION = 2
_FILE_TYPES = {
    GgufType.F32: 0,
    GgufType.F16: 1,
    GgufType.Q4_0: 2,
    GgufType.Q4_1: 3,
    GgufType.Q8_0: 7,
    GgufType.Q5_0: 8,
    GgufType.Q5_1: 9,
    GgufType.Q2_K: 10,
    GgufType.Q3_K: 12,
    GgufType.Q4_K: 15,
    GgufType.Q5_K: 17,
    GgufType.Q6_K: 18,
    GgufType.IQ3_XXS: 23,
    GgufType.IQ4_NL: 25,
    GgufType.IQ3_S: 26,
    GgufType.IQ2_S: 28,
    GgufType.IQ4_XS: 30,
}


def general_metadata(arch: str, *, name: str, license_name: str, main_type: GgufType) -> dict[str, Value]:
    """Return the `general.*` keys. `main_type` is the type that holds most of the weights."""
    described = {"general.name": name, "general.license": license_name}
    return {
        "general.architecture": arch,
        "general.type": "model",
        **{key: text for key, text in described.items() if text},
        "general.file_type": Uint32(_FILE_TYPES[main_type]),
        "general.quantization_version": Uint32(_QUANTIZATION_VERSION),
    }


def model_metadata(config: Any, *, arch: str = "", sizes: Sequence[LayerSize] = ()) -> dict[str, Value]:
    """Return the keys under the architecture's name: sizes, heads, norm epsilon, rope.

    Args:
        arch: another architecture than the family's own.
        sizes: of each layer in the file; by default all are as the configuration says.

    Raises:
        UnsupportedExportError: the family, its rope scaling or its activation has no form in stock llama.cpp.
    """
    arch = arch or family_of(config.model_type).arch
    _check_activation(config)
    keys = _size_keys(config, sizes or sizes_of_config(config)) | _norm_keys(config)
    keys |= _rope_keys(config) | _family_keys(config)
    return {f"{arch}.{key}": value for key, value in keys.items()}


def exported_context_length(config: Any) -> int:
    """Return the context that the file promises: the trained one, or the sliding window where there is one.

    llama.cpp drops the window of these families. Up to the window's length both attend alike; beyond it they differ.
    """
    trained = int(config.max_position_embeddings)
    window = _sliding_window(config)
    return trained if window is None else min(trained, window)


def head_dim_of(config: Any) -> int:
    """Return the width of one attention head."""
    return int(getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads)


def rope_factor_tensor(config: Any) -> Tensor | None:
    """Return Llama 3's frequency divisors, fp32 of half a head's width, or None where rope is not scaled so.

    Long wavelengths are divided by `factor`, short ones kept, those between blended.
    Source: Dubey et al. 2024, arXiv:2407.21783, and `transformers.modeling_rope_utils`, which it equals.
    """
    rope = _rope(config)
    if rope.get("rope_type") != "llama3":
        return None
    width = head_dim_of(config)
    frequencies = 1.0 / float(rope["rope_theta"]) ** (torch.arange(0, width, 2, dtype=torch.float64) / width)
    return torch.tensor([_llama3_divisor(2 * math.pi / f, rope) for f in frequencies.tolist()], dtype=torch.float32)


def _llama3_divisor(wavelength: float, rope: Mapping[str, Any]) -> float:
    context = float(rope["original_max_position_embeddings"])
    low, high, factor = (float(rope[key]) for key in ("low_freq_factor", "high_freq_factor", "factor"))
    if wavelength < context / high:
        return 1.0
    if wavelength > context / low:
        return factor
    blend = (context / wavelength - low) / (high - low)
    return 1.0 / ((1.0 - blend) / factor + blend)


def _size_keys(config: Any, sizes: Sequence[LayerSize]) -> dict[str, Value]:
    keys: dict[str, Value] = {
        "block_count": Uint32(len(sizes)),
        "context_length": Uint32(exported_context_length(config)),
        "embedding_length": Uint32(config.hidden_size),
        "feed_forward_length": _one_or_each([size.feed_forward_size for size in sizes]),
        "attention.head_count": _one_or_each([size.num_heads for size in sizes]),
        "attention.head_count_kv": _one_or_each([size.num_kv_heads for size in sizes]),
        "vocab_size": Uint32(config.vocab_size),
    }
    width = head_dim_of(config)
    fills = all(width * size.num_heads == config.hidden_size for size in sizes)
    if not fills or config.model_type in ("gemma", "qwen3"):
        keys |= {"attention.key_length": Uint32(width), "attention.value_length": Uint32(width)}
    return keys


def _one_or_each(counts: Sequence[int]) -> Value:
    """Return one count, or one a layer where layers differ (a form that only some architectures take)."""
    return Uint32(counts[0]) if len(set(counts)) == 1 else StoredArray("uint32", counts)


def _norm_keys(config: Any) -> dict[str, Value]:
    if config.model_type == "gpt_neox":
        return {"attention.layer_norm_epsilon": float(config.layer_norm_eps)}
    return {"attention.layer_norm_rms_epsilon": float(config.rms_norm_eps)}


def _rope_keys(config: Any) -> dict[str, Value]:
    rope = _rope(config)
    rotated = int(head_dim_of(config) * float(rope.get("partial_rotary_factor") or 1.0))
    keys: dict[str, Value] = {
        "rope.dimension_count": Uint32(rotated),
        "rope.freq_base": float(rope["rope_theta"]),
    }
    match rope.get("rope_type", "default"):
        case "default" | "llama3":
            return keys
        case "linear":
            return keys | {"rope.scaling.type": "linear", "rope.scaling.factor": float(rope["factor"])}
        case other:
            raise UnsupportedExportError(
                f"Rope scaling of type {other!r} cannot be exported; supported: default, linear, llama3.",
                rope_type=other,
            )


def _family_keys(config: Any) -> dict[str, Value]:
    match config.model_type:
        case "gpt_neox":
            return {"use_parallel_residual": bool(config.use_parallel_residual)}
        case "phi3":
            original = getattr(config, "original_max_position_embeddings", None) or config.max_position_embeddings
            return {"rope.scaling.original_context_length": Uint32(original), "attention.sliding_window": Uint32(0)}
    return {}


def _check_activation(config: Any) -> None:
    name = str(getattr(config, "hidden_activation", None) or config.hidden_act)
    allowed = {
        "gemma": ("gelu_pytorch_tanh", "gelu_new", "gelu"),
        "gpt_neox": ("gelu", "gelu_new", "gelu_fast", "gelu_pytorch_tanh"),
    }.get(config.model_type, ("silu", "swish"))
    if name not in allowed:
        raise UnsupportedExportError(
            f"llama.cpp runs {config.model_type} with {allowed[0]}, but this model's activation is {name!r}.",
            activation=name,
        )


def _sliding_window(config: Any) -> int | None:
    if not getattr(config, "use_sliding_window", True):
        return None
    window = getattr(config, "sliding_window", None)
    return int(window) if window else None


def _rope(config: Any) -> dict[str, Any]:
    """Return the rope settings under one set of names, whichever form the config's age gives them."""
    rope = dict(getattr(config, "rope_parameters", None) or getattr(config, "rope_scaling", None) or {})
    rope.setdefault("rope_theta", getattr(config, "rope_theta", None) or getattr(config, "rotary_emb_base", 10000.0))
    rope.setdefault("rope_type", rope.pop("type", "default"))
    rope.setdefault("partial_rotary_factor", getattr(config, "partial_rotary_factor", None) or _neox_share(config))
    return rope


def _neox_share(config: Any) -> float:
    return float(getattr(config, "rotary_pct", None) or 1.0)


def describe_limits(config: Any, family: GgufFamily) -> tuple[str, ...]:
    """Return what the file cannot carry of this model, in sentences for a person; empty where it carries everything."""
    window = _sliding_window(config)
    if window is None or window >= config.max_position_embeddings:
        return ()
    return (
        f"llama.cpp runs {family.arch} without its sliding window, so the file promises {window} tokens of context "
        f"instead of {config.max_position_embeddings}.",
    )
