"""From settings to the sparsity of each linear. Shapes: N windows, T tokens."""

from __future__ import annotations

from collections.abc import Callable

from jaxtyping import Int
from torch import Tensor
from transformers import PreTrainedModel

from birdbone.compress.budget.allotment import allot_sparsity
from birdbone.compress.budget.damage import damage_profile
from birdbone.compress.config import LossBudget, MaskConfig, NOfMPattern, UnstructuredPattern
from birdbone.compress.output_sensitivity import output_sensitivity
from birdbone.compress.statistics import collect_statistics
from birdbone.models import Architecture


def spread_sparsity(
    model: PreTrainedModel,
    architecture: Architecture,
    windows_NT: Int[Tensor, "N T"],
    config: MaskConfig,
    *,
    progress: Callable[[int, int], None] = lambda _done, _total: None,
) -> dict[str, float]:
    """Return the sparsity of every linear by its path. The model is unchanged.

    A budget by loss costs a forward with statistics and a backward on its share of the windows; an even one nothing.

    Args:
        windows_NT: calibration tokens.
        progress: called with windows done and windows in all, of both passes.

    Raises:
        NoCalibrationDataError, NonFiniteStatisticsError, SilentInputError, SingularGramError: the calibration text.
    """
    pattern, budget, paths = config.pattern, config.budget, architecture.linear_paths
    if isinstance(pattern, NOfMPattern):
        return dict.fromkeys(paths, 1 - pattern.num_kept / pattern.group)
    if not isinstance(pattern, UnstructuredPattern) or not isinstance(budget, LossBudget):
        return dict.fromkeys(paths, pattern.share)
    drawn_NT = windows_NT[:: max(1, len(windows_NT) // budget.num_windows)][: budget.num_windows]
    total = 2 * len(drawn_NT)
    felt = output_sensitivity(model, paths, drawn_NT, progress=lambda done, _: progress(done, total))
    statistics = collect_statistics(
        model, architecture, drawn_NT, progress=lambda done, _: progress(len(drawn_NT) + done, total)
    )
    weights = {path: model.get_parameter(f"{path}.weight") for path in paths}
    profiles = {
        path: damage_profile(weight_FD.detach(), statistics[path].gram_DD, felt[path], damping=config.refit.damping)
        for path, weight_FD in weights.items()
    }
    sizes = {path: weight_FD.numel() for path, weight_FD in weights.items()}
    return allot_sparsity(profiles, sizes, sparsity=pattern.share, reach=budget.reach)
