"""What a wave sheds from each cluster of neurons, where the recipe thins by clusters."""

from __future__ import annotations

from collections.abc import Mapping

from birdbone.compress.clusters.extra import require_biophase
from birdbone.compress.clusters.token_classes import classify_vocabulary
from birdbone.compress.config import ClusterConfig, ThresholdConfig
from birdbone.compress.importance import readable_without_gradients
from birdbone.compress.statistics import InputStatistics
from birdbone.compress.thresholds.ground import decide, fractions_of
from birdbone.compress.thresholds.shares import Fractions
from birdbone.compress.waves import Masks
from birdbone.models import LoadedModel, compute_in
from birdbone.models.tensors import as_token_ids
from birdbone.pipeline.context import StepContext
from birdbone.pipeline.recipe import WavesStep
from birdbone.pipeline.steps.materials import take_array


def cluster_shares(
    context: StepContext,
    settings: WavesStep,
    state: LoadedModel,
    *,
    statistics: Mapping[str, InputStatistics],
    masks: Masks,
) -> dict[str, Fractions] | None:
    """Return the share of each row and column, by path; None where every linear is thinned evenly.

    Clusters are found anew on the calibration text in each wave, and each sheds by its own health; their mean is the
    wave's fraction. Health is read from activations, also where the metric that ranks weights reads gradients.

    Raises:
        BiophaseMissingError: the extra is not installed.
    """
    if settings.shed.cluster != "biophase":
        return None
    require_biophase()
    from birdbone.compress.thresholds.surveying import survey_ground  # scikit-learn is an extra

    with compute_in(context.recipe.dtype):
        ground = survey_ground(
            state.model,
            state.architecture,
            as_token_ids(take_array(context, "windows", "calibration")),
            class_V=classify_vocabulary(state.tokenizer, state.architecture.vocab_size),
            config=ClusterConfig(),
            seed=context.recipe.seed,
            statistics=statistics,
            masks=masks,
            importance=readable_without_gradients(settings.importance),
            progress=context.progress("clusters"),
        )
    return fractions_of(ground, decide(ground, ThresholdConfig(), target=settings.shed.fraction))
