"""The model that waves and bits start from: the dense one, or what a step `shed` left of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from birdbone.evaluate.perplexity import perplexity_of
from birdbone.models import LoadedModel
from birdbone.pipeline.context import StepContext
from birdbone.pipeline.steps.materials import take_array, take_model


@dataclass(frozen=True, slots=True, kw_only=True)
class StartingPoint:
    """A stored model without masks: its digest, and the cuts behind it."""

    artefact: str
    num_cuts: int


def base_of(context: StepContext) -> StartingPoint:
    """Return the last cut that was good, or the dense model."""
    good = _good_cuts(context)
    if not good:
        return StartingPoint(artefact=context.artefacts["dense"], num_cuts=0)
    return StartingPoint(artefact=good[-1]["state"], num_cuts=good[-1]["cut"])


def base_version(context: StepContext) -> str:
    """Return the version of that model in the vault."""
    good = _good_cuts(context)
    return str((good[-1] if good else context.notes["seed"])["version"])


def base_perplexity(context: StepContext) -> float:
    """Return the perplexity of that model in torch on the held-out windows."""
    good = _good_cuts(context)
    return float(good[-1]["perplexity"]) if good else dense_perplexity(context)


def take_teacher(context: StepContext, base: LoadedModel) -> LoadedModel:
    """Return the model whose blocks those of `base` imitate: the dense one, or `base` itself where layers are gone."""
    dense = take_model(context, context.artefacts["dense"])
    return dense if dense.architecture.num_layers == base.architecture.num_layers else base


def dense_perplexity(context: StepContext) -> float:
    """Return the perplexity of the dense model in torch on the held-out windows."""
    return perplexity_of(take_array(context, "likelihoods", "dense"))


def _good_cuts(context: StepContext) -> list[dict[str, Any]]:
    """Return the notes of every good cut so far, those of this step's earlier rounds among them."""
    cuts = [notes for label, notes in context.notes.items() if label.startswith("cut-")]
    return [notes for notes in cuts if notes["verdict"] == "good"]
