"""The cuts of a run as its page tells them: what went, what was left, and why a cut was undone."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from birdbone.core import Measurement
from birdbone.pipeline.service import RunView


@dataclass(frozen=True, slots=True, kw_only=True)
class Cut:
    """One finished cut."""

    number: int
    label: str
    verdict: str
    reason: str
    structures: Mapping[str, int]
    """How many of each kind went in this cut."""
    num_layers: int
    mean_neurons: float
    """Mean feed-forward width over layers."""
    perplexity: Measurement | None
    ratio: Measurement | None
    """Over the dense model."""
    share_gone: Measurement | None
    """Of the dense decoder's parameters, all cuts together."""
    errors_before: tuple[float, ...]
    errors_after: tuple[float, ...]
    """Error of each block before and after healing; empty without."""


def read_cuts(view: RunView) -> tuple[Cut, ...]:
    """Return the finished cuts of a run in order; after a retry only those of the newest try."""
    begin = 0
    for place, step in enumerate(view.steps):
        retry = (step.result or {}).get("notes", {}).get("retry") or {}
        begin = place if retry.get("go_back_to") == "shed" else begin
    found = []
    for step in view.steps[begin:]:
        if step.kind != "shed" or not step.result:
            continue
        notes = step.result["notes"]
        figures = {row.name: row for row in view.measurements if row.step == step.label}
        widths = [layer["neurons"] for layer in notes["layers"]]
        found.append(
            Cut(
                number=notes["cut"],
                label=step.label,
                verdict=notes["verdict"],
                reason=notes["reason"],
                structures=notes["structures"],
                num_layers=len(widths),
                mean_neurons=sum(widths) / len(widths),
                perplexity=figures.get("perplexity"),
                ratio=figures.get("perplexity_ratio"),
                share_gone=figures.get("share_gone"),
                errors_before=tuple(notes.get("healing_errors_before", ())),
                errors_after=tuple(notes.get("healing_errors_after", ())),
            )
        )
    return tuple(found)
