"""The states that a run may export: the dense model, then each wave that was judged good, in order."""

from __future__ import annotations

from dataclasses import dataclass

from birdbone.pipeline.context import StepContext


@dataclass(frozen=True, slots=True, kw_only=True)
class GoodState:
    """A stored state: its model, its masks (none for the dense model), and its wave (0 for the dense model)."""

    artefact: str
    masks: str | None
    wave: int


def good_states(context: StepContext) -> list[GoodState]:
    """Return the good states from the dense model on; the last one is the lightest."""
    states = [GoodState(artefact=context.artefacts["dense"], masks=None, wave=0)]
    waves = [notes for label, notes in context.notes.items() if label.startswith("wave-")]
    for state in waves[-1]["good_states"] if waves else []:
        states.append(GoodState(artefact=state["state"], masks=state["masks"], wave=state["wave"]))
    return states
