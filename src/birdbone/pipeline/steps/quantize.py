"""The step `quantize`: the next candidate is rounded onto its grid; `good_states.py` has the order of candidates."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from birdbone.compress.config import RoundingConfig
from birdbone.compress.quantize import choose_promotions, quantize_linear, relative_output_error
from birdbone.compress.statistics import InputStatistics
from birdbone.models import LoadedModel
from birdbone.models.gguf import GgufType, QuantizedTensor, quantize_tensor
from birdbone.pipeline.context import StepContext, StepResult
from birdbone.pipeline.recipe import QuantizeStep
from birdbone.pipeline.steps.activations import take_statistics
from birdbone.pipeline.steps.good_states import candidates, num_rejected
from birdbone.pipeline.steps.materials import keep_tensors, take_model, take_tensors

_CODES, _SCALES = ".codes", ".scales"


def run(context: StepContext, settings: QuantizeStep) -> StepResult:
    """Store codes and scales of every matrix that the format rounds, and say how much output error that made."""
    candidate = candidates(context)[num_rejected(context)]
    state = candidate.state
    context = context.with_artefacts({"state": state.artefact, **({"masks": state.masks} if state.masks else {})})
    loaded = take_model(context, state.artefact)
    statistics = take_statistics(context, loaded.architecture)
    masks = take_tensors(context, "masks") if state.masks else {}
    kinds, errors = _choose_kinds(context, settings, candidate.linears, loaded, statistics)
    quantized = _round(context, settings, loaded, kinds=kinds, masks=masks, statistics=statistics)
    quantized |= _embedding(loaded, settings)
    artefacts = {
        "candidate": state.artefact,
        "quantized": keep_tensors(context, "quantized", flatten(quantized)),
        **({"masks": state.masks} if state.masks else {}),
    }
    notes = {
        "wave": state.wave,
        "attempt": num_rejected(context),
        "type": candidate.linears,
        "errors_by_linear": errors,
        "promoted": [path for path, kind in kinds.items() if kind.name.lower() != candidate.linears],
    }
    return StepResult(artefacts=artefacts, notes=notes)


def _choose_kinds(
    context: StepContext,
    settings: QuantizeStep,
    linears: str,
    loaded: LoadedModel,
    statistics: Mapping[str, InputStatistics],
) -> tuple[dict[str, GgufType], dict[str, float]]:
    """Return the block type of each linear, and the relative output error that a first rounding of each makes."""
    kind = GgufType[linears.upper()]
    if not kind.is_quantized:
        return {}, {}
    report, plain = context.progress("first rounding"), RoundingConfig(kind="importance")
    paths = loaded.architecture.linear_paths
    errors, sizes = {}, {}
    for number, path in enumerate(paths, start=1):
        weight_FD = loaded.model.get_parameter(f"{path}.weight").detach()
        rounded = quantize_linear(weight_FD, statistics[path], kind=kind, mask_FD=None, config=plain)
        errors[path] = relative_output_error(weight_FD, rounded.dequantize(), statistics[path].gram_DD)
        sizes[path] = weight_FD.numel()
        report(number, len(paths))
    promoted = choose_promotions(errors, sizes, share=settings.promote_share if kind is GgufType.Q4_0 else 0.0)
    return {path: GgufType.Q8_0 if path in promoted else kind for path in paths}, errors


def _round(
    context: StepContext,
    settings: QuantizeStep,
    loaded: LoadedModel,
    *,
    kinds: Mapping[str, GgufType],
    masks: Mapping[str, Any],
    statistics: Mapping[str, InputStatistics],
) -> dict[str, QuantizedTensor]:
    report = context.progress("rounding")
    quantized = {}
    for number, (path, kind) in enumerate(kinds.items(), start=1):
        weight_FD = loaded.model.get_parameter(f"{path}.weight").detach()
        quantized[f"{path}.weight"] = quantize_linear(
            weight_FD, statistics[path], kind=kind, mask_FD=masks.get(path), config=settings.rounding
        )
        report(number, len(kinds))
    return quantized


def flatten(quantized: dict[str, QuantizedTensor]) -> dict[str, Any]:
    """Return codes and scales as plain tensors to be stored; the type is in the name."""
    tensors = {}
    for name, tensor in quantized.items():
        tensors[f"{name}.{tensor.type.name}{_CODES}"] = tensor.codes
        tensors[f"{name}.{tensor.type.name}{_SCALES}"] = tensor.scales
    return tensors


def unflatten(tensors: dict[str, Any]) -> dict[str, QuantizedTensor]:
    """Return what `flatten` was given; plain tensors that stand beside it are left out (see `plain_tensors`)."""
    found = {}
    for key, codes in tensors.items():
        if key.endswith(_CODES):
            name, _, kind = key.removesuffix(_CODES).rpartition(".")
            scales = tensors[key.removesuffix(_CODES) + _SCALES]
            found[name] = QuantizedTensor(type=GgufType[kind], codes=codes, scales=scales)
    return found


def plain_tensors(tensors: dict[str, Any]) -> dict[str, Any]:
    """Return the float tensors that a correction stored beside the codes and scales."""
    return {key: value for key, value in tensors.items() if not key.endswith((_CODES, _SCALES))}


def _embedding(loaded: LoadedModel, settings: QuantizeStep) -> dict[str, QuantizedTensor]:
    kind = GgufType[settings.format.embedding.upper()]
    if not kind.is_quantized:
        return {}
    architecture = loaded.architecture
    paths = {architecture.embedding} if architecture.is_embedding_tied else {architecture.embedding, architecture.head}
    return {
        f"{path}.weight": quantize_tensor(loaded.model.get_parameter(f"{path}.weight").detach(), kind)
        for path in sorted(paths)
    }
