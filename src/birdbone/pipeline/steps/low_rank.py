"""The step `low_rank`: a low-rank correction is learned block by block and merged into the scales."""

from __future__ import annotations

from birdbone.compress.lowrank import merge_low_rank_scales
from birdbone.compress.waves import draw_windows
from birdbone.models.tensors import as_token_ids
from birdbone.pipeline.context import StepContext, StepResult
from birdbone.pipeline.recipe import LowRankStep
from birdbone.pipeline.steps.good_states import candidates, num_rejected
from birdbone.pipeline.steps.materials import keep_tensors, take_array, take_model, take_tensors
from birdbone.pipeline.steps.quantize import flatten, unflatten


def run(context: StepContext, settings: LowRankStep) -> StepResult:
    """Store the corrected codes, scales and norms; a block whose error would not fall stays as it was.

    A candidate of 8 bits or more is left as it is: its rounding error is too small to be worth the minutes.
    """
    if not candidates(context)[num_rejected(context)].format.is_low_bit:
        return StepResult(notes={"is_left_out": True})
    dense = take_model(context, context.artefacts["dense"])
    student = take_model(context, context.artefacts["candidate"])
    quantized = unflatten(take_tensors(context, "quantized"))
    windows_NT = as_token_ids(take_array(context, "windows", "healing"))
    chosen_NT = draw_windows(windows_NT, count=settings.num_windows, wave=len(context.notes), seed=context.recipe.seed)
    report = merge_low_rank_scales(
        student.model,
        dense.model,
        student.architecture,
        quantized=quantized,
        windows_NT=chosen_NT,
        config=settings,
        progress=context.progress("low-rank correction"),
    )
    norms = {name: value for name, value in student.model.named_parameters() if value.ndim == 1}
    kept = keep_tensors(context, "quantized", flatten(dict(report.quantized)) | norms)
    notes = {
        "errors_before": report.errors_before,
        "errors_after": report.errors_after,
        "num_merged": report.num_merged,
        "num_blocks": len(report.errors_before),
    }
    return StepResult(artefacts={"quantized": kept}, notes=notes)
