"""The step `low_rank`: a low-rank correction of what rounding lost is merged into the scales, linear by linear."""

from __future__ import annotations

from birdbone.compress.lowrank import merge_low_rank_scales
from birdbone.models.gguf import GgufType
from birdbone.pipeline.context import StepContext, StepResult
from birdbone.pipeline.recipe import LowRankStep
from birdbone.pipeline.steps.activations import take_statistics
from birdbone.pipeline.steps.materials import keep_tensors, take_model, take_tensors
from birdbone.pipeline.steps.quantize import flatten, unflatten


def run(context: StepContext, settings: LowRankStep) -> StepResult:
    """Store the corrected codes and scales; a linear whose output error would not fall stays as it was."""
    loaded = take_model(context, context.artefacts["candidate"])
    statistics = take_statistics(context, loaded.architecture)
    quantized = unflatten(take_tensors(context, "quantized"))
    names = [f"{path}.weight" for path in loaded.architecture.linear_paths]
    names = [name for name in names if name in quantized and quantized[name].type is GgufType.Q4_0]
    before = after = 0.0
    num_merged = 0
    report = context.progress("low-rank merge")
    for number, name in enumerate(names, start=1):
        gram_DD = statistics[name.removesuffix(".weight")].gram_DD
        weight_FD = loaded.model.get_parameter(name).detach()
        result = merge_low_rank_scales(weight_FD, quantized[name], gram_DD, config=settings)
        quantized[name] = result.quantized
        before, after, num_merged = (
            before + result.error_before,
            after + result.error_after,
            num_merged + result.is_merged,
        )
        report(number, len(names))
    notes = {
        "output_error_before": before,
        "output_error_after": after,
        "num_merged": num_merged,
        "num_linears": len(names),
    }
    return StepResult(artefacts={"quantized": keep_tensors(context, "quantized", flatten(quantized))}, notes=notes)
