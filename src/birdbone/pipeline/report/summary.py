"""Before and after, figure by figure: the rows that the page and the terminal share. Plain data, free of torch.

Public: `summary_rows(view)`, `SummaryRow`, `compared_files(view)`, `ComparedFiles`.
Before is the dense F16 file, after the file that the run exports; both in the same engine with the same threads.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from birdbone.core import Basis, Measurement
from birdbone.pipeline.service import RunView

Standing = Literal["exported", "candidate", "none"]


@dataclass(frozen=True, slots=True, kw_only=True)
class SummaryRow:
    """One figure before and after. What is None was not measured."""

    name: str
    """Name of the measurement."""
    label: str
    """What it is, for people."""
    before: Measurement | None
    """Of the dense model."""
    after: Measurement | None
    """Of what the run made."""
    change: Measurement | None
    """After over before: as measured in pairs where the run did that, else the quotient of the two."""
    basis: Basis | None
    """`estimated` if any of the three is; None if there is none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ComparedFiles:
    """Digests of what is compared, and how far the run came with the second."""

    before: str | None
    after: str | None
    after_model: str | None
    """The float model that `after` was rounded from; without a file, the last good state."""
    standing: Standing
    """`exported`: it is what the run gives. `candidate`: no verdict accepted it. `none`: there is no file."""


def compared_files(view: RunView) -> ComparedFiles:
    """Return what the run compares: the dense file with the exported one or, without a verdict, with the candidate."""
    artefacts = view.artefacts
    standing: Standing = "exported" if "final_gguf" in artefacts else "candidate" if "gguf" in artefacts else "none"
    return ComparedFiles(
        before=artefacts.get("dense_gguf"),
        after=artefacts.get("final_gguf", artefacts.get("gguf")),
        after_model=artefacts.get("final", artefacts.get("candidate", _last_good_state(view))),
        standing=standing,
    )


def summary_rows(view: RunView) -> list[SummaryRow]:
    """Return the rows of the before-and-after table, always the same ones in the same order."""
    files = compared_files(view)
    return [
        _file_row(view, files, "size", "File size"),
        _file_row(view, files, "bits_per_weight", "Bits per weight, as stored"),
        _file_row(view, files, "bytes_per_token", "Bytes read per token"),
        _file_row(view, files, "perplexity_gguf", "Perplexity in llama.cpp", paired="perplexity_ratio"),
        _file_row(view, files, "decode_rate", "Decode rate in llama.cpp", paired="decode_speedup"),
        _file_row(view, files, "decode_cpu_time", "CPU time per decoded token"),
        _model_row(view, files),
        _row("sparsity", "Decoder weights shed", before=None, after=_on(view, "sparsity", files.after_model)),
        _row(
            "stored_zeros",
            "Decoder weights that are zero in the file",
            before=None,
            after=_on(view, "stored_zeros", files.after),
        ),
    ]


def _file_row(view: RunView, files: ComparedFiles, name: str, label: str, *, paired: str | None = None) -> SummaryRow:
    after = _on(view, name, files.after)
    before = _on(view, name, files.before, step="" if after is None else after.step)
    change = quotient(before, after) if paired is None else _on(view, paired, files.after)
    return _row(name, label, before=before, after=after, change=change)


def _model_row(view: RunView, files: ComparedFiles) -> SummaryRow:
    return _row(
        "perplexity",
        "Perplexity in torch, before rounding",
        before=_on(view, "perplexity", view.artefacts.get("dense")),
        after=_on(view, "perplexity", files.after_model),
        change=_on(view, "perplexity_ratio", files.after_model),
    )


def _row(
    name: str,
    label: str,
    *,
    before: Measurement | None,
    after: Measurement | None,
    change: Measurement | None = None,
) -> SummaryRow:
    bases = {figure.basis for figure in (before, after, change) if figure is not None}
    basis: Basis | None = "estimated" if "estimated" in bases else "measured" if bases else None
    return SummaryRow(name=name, label=label, before=before, after=after, change=change, basis=basis)


def quotient(before: Measurement | None, after: Measurement | None) -> Measurement | None:
    """Return after over before as a figure of its own, without an interval; None where one of the two is missing."""
    if before is None or after is None or before.unit != after.unit or before.value <= 0:
        return None
    return Measurement(
        name=f"{after.name}_ratio",
        value=after.value / before.value,
        unit="1",
        basis="estimated" if "estimated" in (before.basis, after.basis) else "measured",
        method=f"`{after.name}` after, divided by `{before.name}` before",
        artefact=after.artefact,
        run_id=after.run_id,
        step=after.step,
        taken_at=after.taken_at,
    )


def _on(view: RunView, name: str, artefact: str | None, *, step: str = "") -> Measurement | None:
    """Return the newest figure of that name on that artefact, of `step` where that step took one."""
    rows = [row for row in view.measurements if row.name == name and row.artefact == artefact]
    chosen = [row for row in rows if row.step == step] or rows
    return chosen[-1] if chosen else None


def _last_good_state(view: RunView) -> str | None:
    waves = [step.result for step in view.steps if step.kind == "waves" and step.result]
    states = waves[-1]["notes"]["good_states"] if waves else []
    return states[-1]["state"] if states else view.artefacts.get("base", view.artefacts.get("dense"))
