"""The model that waves and bits start from: the dense one, or what a step `shed` left of it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from birdbone.models import LoadedModel
from birdbone.pipeline.context import StepContext
from birdbone.pipeline.steps.materials import summarise, take_array, take_model


@dataclass(frozen=True, slots=True, kw_only=True)
class StartingPoint:
    """A stored model without masks: its digest, its version in the vault, its perplexity, and the cuts behind it."""

    artefact: str
    version: str
    perplexity: float
    num_cuts: int


def base_of(context: StepContext) -> StartingPoint:
    """Return the last cut that was good, or the dense model."""
    good = [notes for notes in _cuts(context) if notes["verdict"] == "good"]
    if not good:
        return StartingPoint(
            artefact=context.artefacts["dense"],
            version=str(context.notes["seed"]["version"]),
            perplexity=dense_perplexity(context),
            num_cuts=0,
        )
    newest = good[-1]
    return StartingPoint(
        artefact=newest["state"], version=newest["version"], perplexity=newest["perplexity"], num_cuts=newest["cut"]
    )


def take_teacher(context: StepContext, base: LoadedModel) -> LoadedModel:
    """Return the model whose blocks those of `base` imitate: the dense one, or `base` itself where layers are gone."""
    dense = take_model(context, context.artefacts["dense"])
    return dense if dense.architecture.num_layers == base.architecture.num_layers else base


def dense_perplexity(context: StepContext) -> float:
    """Return the perplexity of the dense model in torch on the held-out windows."""
    return summarise(context, take_array(context, "likelihoods", "dense")).value


def _cuts(context: StepContext) -> Iterator[dict[str, Any]]:
    """Yield the notes of every cut so far, those of this step's earlier rounds among them."""
    yield from (dict(notes) for label, notes in context.notes.items() if label.startswith("cut-"))
