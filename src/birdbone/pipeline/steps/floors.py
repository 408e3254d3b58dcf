"""What the step `judge` judges: the gate, the floor of each stage, and the rules against the first model.

A stage is judged by its own loss, beside what all of them lost together: two stages may each stay within 2 % and lose
4 % between them. What `waves` lost is known from its candidate in torch. What `quantize` lost is the rise from that
candidate in torch to the file in llama.cpp, less the rise that the dense model has on the same way, window by window.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from birdbone.core import Measurement
from birdbone.evaluate import GateRule, Verdict, paired_ratio
from birdbone.evaluate.gates.measured import apply_rule
from birdbone.evaluate.gates.verdicts import Floor, verdict_of
from birdbone.evaluate.gates.wording import floor_words
from birdbone.pipeline.context import StepContext
from birdbone.pipeline.steps.bases import base_of
from birdbone.pipeline.steps.materials import judge_in_torch, take_array, take_model

OWN_RATIO = "perplexity_ratio_of_quantize"
"""Name under which the own loss of `quantize` is kept; its floor calls it `perplexity_ratio`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Section:
    """Rules that are judged by the same figures."""

    floor: Floor | None
    rules: tuple[GateRule, ...]
    ours: dict[str, Measurement]
    theirs: dict[str, Measurement]


def sections(context: StepContext, figures: Sequence[Measurement], digest: str) -> list[Section]:
    """Return all rules of the recipe with the figures that each is about.

    Args:
        figures: taken by this step.
        digest: the file that is judged.
    """
    settings, every = context.recipe.evaluate, (*context.figures, *figures)
    file, dense_file = newest(every, digest), newest(every, context.artefacts["dense_gguf"])
    own = {name: row for name, row in file.items() if name != OWN_RATIO and name != "perplexity_ratio"}
    if OWN_RATIO in file:
        own["perplexity_ratio"] = file[OWN_RATIO].model_copy(update={"name": "perplexity_ratio"})
    state = context.artefacts["candidate"]
    floors = [Section(floor=None, rules=settings.gate, ours=file, theirs=dense_file)]
    if state != base_of(context).artefact:  # the base has been through no wave
        rules = settings.stages.get("waves", ())
        theirs = newest(every, context.artefacts["dense"])
        floors.append(Section(floor="waves", rules=rules, ours=newest(every, state), theirs=theirs))
    floors.append(Section(floor="quantize", rules=settings.stages.get("quantize", ()), ours=own, theirs=dense_file))
    floors.append(Section(floor="judge", rules=settings.stages.get("judge", ()), ours=file, theirs=dense_file))
    return [*floors, Section(floor="cumulative", rules=settings.cumulative, ours=file, theirs=dense_file)]


def judge_sections(parts: Iterable[Section], *, only_measured: bool = False) -> Verdict:
    """Return the verdict over all sections.

    Args:
        only_measured: leave out rules whose figure is not there yet.
    """
    return verdict_of(
        replace(finding, floor=part.floor, reason=floor_words(part.floor) + finding.reason)
        for part in parts
        for rule in part.rules
        if not only_measured or rule.measurement in part.ours
        for finding in (apply_rule(rule, part.ours, part.theirs),)
    )


def own_ratio(context: StepContext, nll_NT: NDArray[np.float64], *, artefact: str) -> Measurement:
    """Return what rounding and export cost by themselves, as a ratio of perplexities.

    Args:
        nll_NT: likelihoods of the file in llama.cpp, in nats.
        artefact: digest of the file.
    """
    settings = context.recipe.evaluate
    state_nll_NT, _ = judge_in_torch(context, take_model(context, context.artefacts["candidate"]))
    dense_NT, dense_file_NT = (take_array(context, "likelihoods", name) for name in ("dense", "dense_gguf"))
    found = paired_ratio(
        nll_NT - state_nll_NT,
        dense_file_NT - dense_NT,
        seed=settings.seed,
        num_resamples=settings.num_resamples,
    )
    measured = found.measurement(artefact=artefact, name=OWN_RATIO)
    method = f"{measured.method}; file in llama.cpp over state in torch, over the same of the dense model"
    return measured.model_copy(update={"method": method})


def newest(figures: Iterable[Measurement], artefact: str) -> dict[str, Measurement]:
    """Return the newest figure of each name on an artefact."""
    return {figure.name: figure for figure in figures if figure.artefact == artefact}
