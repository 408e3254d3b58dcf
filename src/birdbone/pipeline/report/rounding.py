"""What rounding did, as the newest `quantize`, `low_rank` and `export` noted it. What they did not note is absent."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from birdbone.pipeline.report.linears import LinearGrid, linear_grid
from birdbone.pipeline.repository import StepRow
from birdbone.pipeline.service import RunView


@dataclass(frozen=True, slots=True, kw_only=True)
class Rounding:
    """One rounding of one state, with the correction that followed it."""

    step: str
    """Label of the `quantize`."""
    wave: int | None
    """Wave of the state that was rounded; 0 for the dense model."""
    type: str | None
    errors: LinearGrid | None
    """Squared output error of each linear as rounded and stored, as a share of its output's power."""
    low_rank_step: str | None
    errors_before: tuple[float, ...]
    """Error of each block's output before the low-rank correction."""
    errors_after: tuple[float, ...]
    num_merged: int | None
    """Blocks whose correction was kept."""
    num_deciding_windows: int | None
    """Windows, not learned from by the correction, on which both divergences below were taken."""
    kl_before: float | None
    """Nats a token from the dense model's predictions without the correction."""
    kl_after: float | None
    """The same with it."""
    is_correction_kept: bool
    tensor_counts: Mapping[str, int]
    """Tensors in the file, by type."""
    limits: tuple[str, ...]
    """What the writer of the file had to leave out."""


def read_rounding(view: RunView) -> Rounding | None:
    """Return what the newest rounding of a run did; None if there was none."""
    newest = {step.kind: step for step in view.steps if step.result}
    if "quantize" not in newest:
        return None
    quantize = newest["quantize"]
    low_rank, export = (_if_later(newest.get(kind), quantize) for kind in ("low_rank", "export"))
    notes, merged, written = (_notes(step) for step in (quantize, low_rank, export))
    return Rounding(
        step=quantize.label,
        wave=notes.get("wave"),
        type=notes.get("type"),
        errors=linear_grid(notes.get("errors_by_linear") or {}),
        low_rank_step=None if low_rank is None else low_rank.label,
        errors_before=tuple(merged.get("errors_before") or ()),
        errors_after=tuple(merged.get("errors_after") or ()),
        num_merged=merged.get("num_merged"),
        num_deciding_windows=merged.get("num_deciding_windows"),
        kl_before=merged.get("kl_before"),
        kl_after=merged.get("kl_after"),
        is_correction_kept=not merged.get("is_left_out", False),
        tensor_counts=written.get("types") or {},
        limits=tuple(written.get("limits") or ()),
    )


def _if_later(step: StepRow | None, quantize: StepRow) -> StepRow | None:
    """Return the step if it belongs to that rounding, and not to one before it."""
    return step if step is not None and step.position > quantize.position else None


def _notes(step: StepRow | None) -> dict[str, Any]:
    return {} if step is None or step.result is None else step.result.get("notes", {})
