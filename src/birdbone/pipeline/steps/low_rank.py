"""The step `low_rank`: a correction is learned block by block, merged into the scales, and has to prove itself.

A block's error may fall while the model gets worse: the blocks are weighed alike, their effects are not. So the
corrected model has to be nearer to the dense one's predictions on windows that this step did not learn from; else it is
left out. The waves may have healed on those windows: both models that are compared have that behind them.
"""

from __future__ import annotations

import numpy as np
from torch import Tensor

from birdbone.compress.lowrank import load_quantized, merge_low_rank_scales
from birdbone.compress.waves import draw_windows
from birdbone.evaluate.divergence import divergence, model_logits
from birdbone.models import LoadedModel
from birdbone.models.tensors import as_token_ids
from birdbone.pipeline.context import StepContext, StepResult
from birdbone.pipeline.recipe import LowRankStep
from birdbone.pipeline.steps.bases import take_teacher
from birdbone.pipeline.steps.good_states import candidates, num_rejected
from birdbone.pipeline.steps.materials import keep_tensors, take_array, take_model, take_tensors
from birdbone.pipeline.steps.quantize import flatten, unflatten


def run(context: StepContext, settings: LowRankStep) -> StepResult:
    """Store the corrected codes, scales and norms, if they bring the model nearer to the dense one.

    A candidate of 8 bits or more is left as it is: its rounding error is too small to be worth the minutes.
    """
    if not candidates(context)[num_rejected(context)].format.is_low_bit:
        return StepResult(notes={"is_left_out": True})
    student = take_model(context, context.artefacts["candidate"])
    dense = take_teacher(context, student)
    quantized = unflatten(take_tensors(context, "quantized"))
    learned_NT, unseen_NT = _windows(context, settings)
    load_quantized(student.model, quantized)
    kl_before = _kl(context, dense, student, unseen_NT, label="predictions before the correction")
    report = merge_low_rank_scales(
        student.model,
        dense.model,
        student.architecture,
        quantized=quantized,
        windows_NT=learned_NT,
        config=settings,
        progress=context.progress("low-rank correction"),
    )
    kl_after = _kl(context, dense, student, unseen_NT, label="predictions after it")
    notes = {
        "errors_before": report.errors_before,
        "errors_after": report.errors_after,
        "num_merged": report.num_merged,
        "num_blocks": len(report.errors_before),
        "num_deciding_windows": len(unseen_NT),
        "kl_before": kl_before,
        "kl_after": kl_after,
        "is_left_out": kl_after >= kl_before,
    }
    if kl_after >= kl_before:
        return StepResult(notes=notes)
    norms = {name: value.detach() for name, value in student.model.named_parameters() if value.ndim == 1}
    kept = keep_tensors(context, "quantized", flatten(dict(report.quantized)) | norms)
    return StepResult(artefacts={"quantized": kept}, notes=notes)


def _windows(context: StepContext, settings: LowRankStep) -> tuple[Tensor, Tensor]:
    """Return healing windows to learn on and others to decide on; calibration windows decide if no others are left."""
    windows_NT = as_token_ids(take_array(context, "windows", "healing"))
    count = settings.num_windows + settings.num_deciding_windows
    chosen_NT = draw_windows(windows_NT, count=count, wave=len(context.notes), seed=context.recipe.seed)
    learned_NT, unseen_NT = chosen_NT[: settings.num_windows], chosen_NT[settings.num_windows :]
    if len(unseen_NT) == 0:
        unseen_NT = as_token_ids(take_array(context, "windows", "calibration"))[: settings.num_deciding_windows]
    return learned_NT, unseen_NT


def _kl(context: StepContext, dense: LoadedModel, student: LoadedModel, windows_NT: Tensor, *, label: str) -> float:
    """Return the mean KL divergence of the student's predictions from the dense model's, in nats a token."""
    found = divergence(
        model_logits(dense.model),
        model_logits(student.model),
        windows_NT.numpy(),
        generator=np.random.default_rng(context.recipe.evaluate.seed),
        num_resamples=context.recipe.evaluate.num_resamples,
        progress=context.progress(label),
    )
    return found.kl
