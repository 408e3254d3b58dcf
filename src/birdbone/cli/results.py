"""What a run came to: the figures before and after, the verdict, what was undone and where the files lie.

Every figure is looked up by its name *and* by the artefact it was taken on, so that a figure of a rejected candidate
can never stand for the exported file.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from rich.table import Table

from birdbone.cli import words
from birdbone.cli.output import new_table
from birdbone.core import Measurement
from birdbone.pipeline.repository import StepRow
from birdbone.pipeline.service import RunView

_WIDE = 110  # columns of a terminal
_FILE, _TORCH = ("dense_gguf", "final_gguf"), ("dense", "final")
_ROWS: tuple[tuple[str, str, tuple[str | None, str | None]], ...] = (
    ("size of the file", "size", _FILE),
    ("bits per weight", "bits_per_weight", _FILE),
    ("bytes read per token", "bytes_per_token", _FILE),
    ("perplexity in llama.cpp", "perplexity_gguf", _FILE),
    ("ratio of perplexities", "perplexity_ratio", (None, "final_gguf")),
    ("decode rate", "decode_rate", _FILE),
    ("speed-up", "decode_speedup", (None, "final_gguf")),
    ("perplexity in torch, not rounded", "perplexity", _TORCH),
    ("llama.cpp over torch, dense", "engine_ratio", ("dense_gguf", None)),
    ("sparsity of the linears", "sparsity", (None, "final")),
    ("zeros in the file's linears", "stored_zeros", (None, "final_gguf")),
)
_CUTS = ("structures of the decoder gone", "share_gone", (None, "base"))
"""A row for runs that took structures out."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ResultRow:
    """One figure of the dense model and of what was exported; None where it was not measured.

    `has_before` and `has_after` say whether the figure makes sense there at all.
    """

    label: str
    name: str
    before: Measurement | None
    after: Measurement | None
    has_before: bool
    has_after: bool


def result_rows(view: RunView) -> list[ResultRow]:
    """Return the figures of a run, before and after, in the order in which they are read."""
    cuts = (_CUTS,) if "base" in view.artefacts else ()
    return [
        ResultRow(
            label=label,
            name=name,
            before=_look_up(view, name, before),
            after=_look_up(view, name, after),
            has_before=before is not None,
            has_after=after is not None,
        )
        for label, name, (before, after) in (*_ROWS, *cuts)
    ]


def gate_verdict(view: RunView) -> tuple[str, list[str]] | None:
    """Return outcome, reasons and overrides of the newest judgement, or None if nothing was judged."""
    if view.judged is None:
        return None
    step, notes = view.judged
    newest = notes["verdict"]
    reasons = [finding["reason"] for finding in newest["findings"]] + view.overridden(step.label)
    if "fell_back_to_wave" in notes:
        wave = notes["fell_back_to_wave"]
        reasons.append(
            f"exported in 16 bits instead: {'the dense model' if wave == 0 else f'the state of wave {wave}'}"
        )
    return newest["outcome"], reasons


def undone(view: RunView) -> list[str]:
    """Return what was undone or rejected and why, one line each."""
    return [*_undone_waves(view), *_rejected_candidates(view)]


def files(view: RunView) -> dict[str, str]:
    """Return the paths of what the run left in its folder, by what they are."""
    exports = sorted((view.folder / "exports").glob("*"))
    found: dict[str, Path] = {"GGUF" if len(exports) == 1 else f"GGUF {path.name}": path for path in exports}
    found |= {"report": view.folder / "report.html", "diff bundle": view.folder / "diff"}
    return {name: str(path) for name, path in found.items() if path.exists()}


def result_data(view: RunView) -> dict[str, Any]:
    """Return the result as plain data; a figure that was not measured is null."""
    verdict = gate_verdict(view)
    return {
        "run": view.run.id,
        "status": view.run.status,
        "figures": [
            {"name": row.name, "label": row.label, "before": _plain(row.before), "after": _plain(row.after)}
            for row in result_rows(view)
        ],
        "verdict": None if verdict is None else {"outcome": verdict[0], "reasons": verdict[1]},
        "overrides": [asdict(override) for override in view.overrides],
        "undone": undone(view),
        "files": files(view),
    }


def result_table(view: RunView, *, num_columns: int) -> Table:
    """Return the figures of a run as a table; how each was obtained only where a line has room for it."""
    rows = [
        (
            row.label,
            words.figure(row.before) if row.has_before else "",
            words.figure(row.after) if row.has_after else "",
            words.evidence(row.after or row.before),
        )
        for row in result_rows(view)
    ]
    columns = ("figure", "before", "after", "how it was obtained")[: 4 if num_columns >= _WIDE else 3]
    return new_table(columns, [row[: len(columns)] for row in rows], title=f"Result of {view.run.id}")


def footer(view: RunView) -> Iterator[str]:
    """Yield what belongs below the table: the verdict, what was undone, where the files lie."""
    verdict = gate_verdict(view)
    yield f"verdict: {'not judged' if verdict is None else f'{verdict[0]}: ' + '; '.join(verdict[1])}"
    yield from (f"undone: {line}" for line in undone(view) or ["nothing"])
    yield from (f"{name}: {path}" for name, path in files(view).items())


def _look_up(view: RunView, name: str, key: str | None) -> Measurement | None:
    artefact = _lightest(view) if key == "final" else view.artefacts.get(key) if key else None
    return None if artefact is None else view.figure(name, artefact)


def _lightest(view: RunView) -> str | None:
    """Return the model that the run exports: as judged, else as chosen to be rounded, else the last good wave's."""
    chosen = view.artefacts.get("final") or view.artefacts.get("candidate")
    good = [state["state"] for step in view.steps for state in _notes(step).get("good_states", ())]
    return chosen or (good[-1] if good else None)


def _notes(step: StepRow) -> dict[str, Any]:
    return dict((step.result or {}).get("notes", {}))


def _undone_waves(view: RunView) -> Iterator[str]:
    waiting: list[StepRow] = []
    for step in view.steps:
        if step.kind != "waves" or not step.result:
            continue
        verdict = _notes(step)["verdict"]
        waiting = [] if verdict == "good" else [*waiting, step]
        if verdict == "undone":
            yield from (f"{row.label}: {_notes(row)['reason']}" for row in waiting)
            waiting = []
    if any(step.kind == "quantize" for step in view.steps):  # until then another wave may save them
        yield from (f"{row.label}: left out, on probation when the waves ended" for row in waiting)


def _rejected_candidates(view: RunView) -> Iterator[str]:
    for step in view.steps:
        notes = _notes(step)
        if notes.get("is_rejected"):
            reasons = "; ".join(finding["reason"] for finding in notes["verdict"]["findings"])
            retry = f"; {words.retry(notes['retry'])}" if "retry" in notes else ""
            yield f"{step.label}: the candidate of wave {notes['wave']} was rejected: {reasons}{retry}"


def _plain(row: Measurement | None) -> dict[str, Any] | None:
    return None if row is None else row.model_dump(mode="json")
