"""The shape of a model from its configuration alone, and its FLOPs as torch counts them. Needs torch, no weights."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode
from transformers import AutoConfig, AutoModelForCausalLM, DynamicCache

from birdbone.evaluate.cost.flops import ModelShape
from birdbone.models import ModelSource, describe_architecture
from birdbone.models.quiet import quiet_transformers
from birdbone.models.rebuilding import build_layered, read_layered_config


def make_skeleton(source: ModelSource) -> Any:
    """Return the model of a source without its weights: every tensor has a shape and no values.

    Raises:
        UnsupportedArchitectureError: a family that is not known.
    """
    options = {"gguf_file": source.file.name} if source.kind == "gguf" and source.file is not None else {}
    with quiet_transformers(), torch.device("meta"):
        layered = None if options else read_layered_config(source.folder)
        if layered is not None:
            return build_layered(layered, attn_implementation="eager").eval()
        config = AutoConfig.from_pretrained(source.folder, **options)
        return AutoModelForCausalLM.from_config(config, attn_implementation="eager").eval()


def model_shape(model: Any) -> ModelShape:
    """Return what the arithmetic of a causal model depends on; its weights are not read.

    Raises:
        UnsupportedArchitectureError: a family that is not known.
    """
    architecture = describe_architecture(model)
    head = model.get_output_embeddings()
    linears = [module for module in model.modules() if isinstance(module, nn.Linear) and module is not head]
    weight_counts = {name: parameter.numel() for name, parameter in model.named_parameters()}
    return ModelShape(
        num_weights=sum(weight_counts.values()),
        linear_weights=sum(linear.weight.numel() for linear in linears),
        head_weights=head.weight.numel(),
        num_heads=architecture.num_heads,
        num_kv_heads=architecture.num_kv_heads,
        head_dim=architecture.head_dim,
        windows=tuple(layer.sliding_window for layer in architecture.layers),
        context_length=architecture.context_length,
        weight_counts=weight_counts,
        lookup_rows={
            f"{path}.weight": module.num_embeddings
            for path, module in model.named_modules()
            if isinstance(module, nn.Embedding) and module.weight is not head.weight
        },
    )


@torch.no_grad()
def count_forward_flops(model: Any, num_new: int, *, num_cached: int = 0) -> int:
    """Return the FLOPs of one pass over `num_new` tokens as torch's FlopCounterMode sees them.

    Args:
        model: causal, with eager attention: the counter has no formula for the fused one of the CPU.
        num_new: tokens of the pass; the head runs for the last.
        num_cached: tokens that another pass put into the cache before.
    """
    cache = DynamicCache(config=model.config)
    if num_cached:
        _pass(model, num_cached, cache)
    with FlopCounterMode(display=False) as counter:
        _pass(model, num_new, cache)
    return int(counter.get_total_flops())


def _pass(model: Any, num_tokens: int, cache: DynamicCache) -> None:
    ids_BT = torch.zeros(1, num_tokens, dtype=torch.long, device=model.device)
    model(input_ids=ids_BT, past_key_values=cache, use_cache=True, logits_to_keep=1)
