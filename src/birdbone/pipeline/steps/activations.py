"""The step `log_activations`: one pass over calibration text gives the statistics that all later steps use."""

from __future__ import annotations

from birdbone.compress.config import ImportanceConfig, WandaConfig
from birdbone.compress.gradients import GradientStatistics, collect_gradients
from birdbone.compress.importance import needs_gradients, score_linear
from birdbone.compress.statistics import (
    InputStatistics,
    collect_statistics,
    statistics_from_tensors,
    statistics_to_tensors,
)
from birdbone.models import Architecture, LoadedModel, compute_in
from birdbone.models.tensors import as_token_ids
from birdbone.pipeline.context import StepContext, StepResult
from birdbone.pipeline.recipe import LogActivationsStep
from birdbone.pipeline.steps.bases import base_of
from birdbone.pipeline.steps.materials import keep_tensors, take_array, take_model, take_tensors


def run(context: StepContext, settings: LogActivationsStep) -> StepResult:
    """Store the Gram matrix of every group of linears' inputs, on the model that waves and bits start from."""
    loaded = take_model(context, base_of(context).artefact)
    windows_NT = as_token_ids(take_array(context, "windows", "calibration"))
    with compute_in(context.recipe.dtype):
        statistics = collect_statistics(
            loaded.model,
            loaded.architecture,
            windows_NT,
            batch_size=settings.batch_size,
            first_token_share=settings.first_token_share,
            progress=context.progress("activation statistics"),
        )
    tensors = statistics_to_tensors(statistics, loaded.architecture)
    num_tokens = next(iter(statistics.values())).num_tokens
    artefacts = {"statistics": keep_tensors(context, "statistics", tensors)}
    notes = {"num_tokens": num_tokens, "importance_by_linear": _importance(context, loaded, statistics)}
    return StepResult(artefacts=artefacts, notes=notes)


def _importance(context: StepContext, loaded: LoadedModel, statistics: dict[str, InputStatistics]) -> dict[str, float]:
    """Return the mean score of each linear's weights in that model, by the metric that the waves will use."""
    waves = context.recipe.step("waves")
    metric = WandaConfig() if waves is None else waves.importance
    gradients = take_gradients(context, loaded, metric) or {}
    weights = {path: loaded.model.get_parameter(f"{path}.weight").detach() for path in loaded.architecture.linear_paths}
    return {
        path: float(score_linear(w_FD, statistics[path], metric, gradients=gradients.get(path)).mean())
        for path, w_FD in weights.items()
    }


def take_gradients(
    context: StepContext, loaded: LoadedModel, metric: ImportanceConfig
) -> dict[str, GradientStatistics] | None:
    """Return the gradients of the loaded model on the calibration text; None where the metric reads none."""
    if not needs_gradients(metric):
        return None
    windows_NT = as_token_ids(take_array(context, "windows", "calibration"))
    with compute_in(context.recipe.dtype):
        return collect_gradients(
            loaded.model, loaded.architecture, windows_NT, progress=context.progress("gradients of the loss")
        )


def take_statistics(context: StepContext, architecture: Architecture) -> dict[str, InputStatistics]:
    """Return the statistics that this step kept, by the path of each linear."""
    num_tokens = int(context.notes["log_activations"]["num_tokens"])
    return statistics_from_tensors(take_tensors(context, "statistics"), architecture, num_tokens=num_tokens)
