"""What is known of a model without running it: shapes, sizes of files and tensors, FLOPs counted both ways."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from birdbone.evaluate.benchmarks.opening import Candidate
from birdbone.evaluate.cost.counting import count_forward_flops, make_skeleton, model_shape
from birdbone.evaluate.cost.figures import Weights
from birdbone.evaluate.cost.flops import ModelShape, forward_flops
from birdbone.evaluate.cost.results import CostPlan
from birdbone.evaluate.errors import BadCostPlanError
from birdbone.models import ModelSource
from birdbone.models.gguf import read_gguf_summary

_ITEM_BYTES = {"float32": 4, "bfloat16": 2}
_LLAMACPP_CACHE_BYTES = 2  # llama.cpp keeps keys and values in F16 unless it is told otherwise
_GGUF_EMBEDDING, _GGUF_HEAD = "token_embd.weight", "output.weight"


def weigh(candidate: Candidate, plan: CostPlan) -> Weights:
    """Return what is known of a model without running it.

    Raises:
        BadCostPlanError: a prompt that is longer than what the model takes.
        UnsupportedArchitectureError: a family that is not known.
    """
    skeleton = make_skeleton(candidate.source)
    shape = model_shape(skeleton)
    if plan.num_tokens > shape.context_length:
        message = f"{candidate.name} takes {shape.context_length} tokens; the plan needs {plan.num_tokens}."
        raise BadCostPlanError(message, hint="Give shorter prompts or fewer new tokens.")
    if candidate.engine == "llama.cpp":
        value_bytes = _LLAMACPP_CACHE_BYTES
        tensor_bytes, lookup_rows = _gguf_tensors(candidate.source)
    else:
        value_bytes = _ITEM_BYTES[candidate.dtype]
        tensor_bytes, lookup_rows = _torch_tensors(shape, value_bytes)
    return Weights(
        shape=shape,
        size_bytes=sum(path.stat().st_size for path in weight_files(candidate.source)),
        tensor_bytes=tensor_bytes,
        lookup_rows=lookup_rows,
        cache_value_bytes=value_bytes,
        is_formula_checked=_agrees(skeleton, shape, max(plan.prompt_tokens), 0)
        and _agrees(skeleton, shape, 1, plan.mean_context),
    )


def weight_files(source: ModelSource) -> list[Path]:
    """Return the files that hold the weights of a model."""
    return [source.file] if source.file is not None else sorted(source.folder.glob("*.safetensors"))


def _agrees(skeleton: Any, shape: ModelShape, num_new: int, num_cached: int) -> bool:
    """Say whether torch counts what the formula says; a model that looks at values cannot be counted without them."""
    try:
        counted = count_forward_flops(skeleton, num_new, num_cached=num_cached)
    except RuntimeError:
        return False
    return counted == forward_flops(shape, num_new, num_cached=num_cached)


def _gguf_tensors(source: ModelSource) -> tuple[Mapping[str, int], Mapping[str, int]]:
    """Return the stored bytes of each tensor, and the rows of the embedding where the head is another tensor."""
    assert source.file is not None, "a GGUF is one file"
    tensors = {tensor.name: tensor for tensor in read_gguf_summary(source.file).tensors}
    rows = {_GGUF_EMBEDDING: tensors[_GGUF_EMBEDDING].shape[0]} if _GGUF_HEAD in tensors else {}
    return {name: tensor.size_bytes for name, tensor in tensors.items()}, rows


def _torch_tensors(shape: ModelShape, value_bytes: int) -> tuple[Mapping[str, int], Mapping[str, int]]:
    return {name: value_bytes * count for name, count in shape.weight_counts.items()}, shape.lookup_rows
