"""The candidates that a run may export, best hope first.

First every good state at the bits that the recipe asks for, the lightest state first and the base last; then the
lightest state once more with 8 bits a weight. A candidate that fails its gate makes room for the next.
"""

from __future__ import annotations

from dataclasses import dataclass

from birdbone.compress.config import QuantizeFormat
from birdbone.pipeline.context import StepContext
from birdbone.pipeline.recipe import QuantizeStep
from birdbone.pipeline.steps.bases import base_of


@dataclass(frozen=True, slots=True, kw_only=True)
class GoodState:
    """A stored state: its model, its masks (none for the base), and its wave (0 for the base)."""

    artefact: str
    masks: str | None
    wave: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """A good state and the types of its tensors in the file."""

    state: GoodState
    format: QuantizeFormat


def candidates(context: StepContext) -> list[Candidate]:
    """Return what may be exported, in the order in which it is tried."""
    wanted = next(step for step in context.recipe.steps if isinstance(step, QuantizeStep)).format
    states = good_states(context)
    tried = [Candidate(state=state, format=wanted) for state in reversed(states)]
    if wanted.has_low_bits:
        tried.append(Candidate(state=states[-1], format=QuantizeFormat(linears="q8_0", embedding="q8_0")))
    return tried


def num_rejected(context: StepContext) -> int:
    """Return how many candidates of this run failed their gate so far; after a retry the count begins anew."""
    count = 0
    for notes in context.notes.values():
        count = 0 if "retry" in notes else count + bool(notes.get("is_rejected"))
    return count


def good_states(context: StepContext) -> list[GoodState]:
    """Return the good states from the base on (the dense model, or what cuts left of it), the lightest last."""
    states = [GoodState(artefact=base_of(context).artefact, masks=None, wave=0)]
    waves = [notes for label, notes in context.notes.items() if label.startswith("wave-")]
    for state in waves[-1]["good_states"] if waves else []:
        states.append(GoodState(artefact=state["state"], masks=state["masks"], wave=state["wave"]))
    return states
