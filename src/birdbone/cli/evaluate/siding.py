"""What `eval compare` does and prints."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from rich.table import Table

from birdbone.cli.evaluate.asking import Asked, On, ask_model, judged_lines, percent
from birdbone.cli.output import new_table
from birdbone.core import write_atomically
from birdbone.evaluate.benchmarks.comparison import MARGIN, compare
from birdbone.evaluate.history.pages import ComparedCandidate, render_comparison


@dataclass(frozen=True, slots=True, kw_only=True)
class Sides:
    """A baseline, and each candidate beside it."""

    baseline: str
    candidates: tuple[ComparedCandidate, ...]
    judged: dict[str, list[str]]
    """For each candidate, what has to be said where a model judged the answers."""

    def to_json(self) -> list[dict[str, Any]]:
        """Return each candidate beside the baseline as plain data."""
        return [
            {
                "baseline": self.baseline,
                "candidate": candidate.name,
                "benchmarks": [asdict(row) | {"margin": MARGIN} for row in candidate.comparisons],
                "judged": self.judged[candidate.name],
            }
            for candidate in self.candidates
        ]


def compare_models(models: Sequence[str], asked: Asked, on: On) -> Sides:
    """Return each candidate (all but the first) beside the baseline (the first).

    Raises:
        UnpairedError: they were not asked the same.
        and what `ask_model` does.
    """
    baseline, *others = ((model, list(ask_model(model, asked, on))) for model in models)
    return Sides(
        baseline=baseline[0],
        candidates=tuple(
            ComparedCandidate(name=name, comparisons=compare(results, baseline[1])) for name, results in others
        ),
        judged={name: judged_lines(results) for name, results in others},
    )


def write_page(sides: Sides, path: Path) -> None:
    """Write the comparison as one page, whole or not at all."""
    with write_atomically(path) as stream:
        stream.write(render_comparison(sides.baseline, sides.candidates).encode())


def comparison_table(found: Mapping[str, Any]) -> Table:
    """Return one candidate beside the baseline as a table."""
    rows = []
    for row in found["benchmarks"]:
        change, kept = row["difference"], row["retention"]
        flips = f"-{row['flips']['lost']} +{row['flips']['gained']}" if row["flips"] else "-"
        rows.append(
            (
                row["benchmark"],
                percent(row["baseline"]),
                percent(row["candidate"]),
                f"{100 * change['value']:+.1f} [{100 * change['low']:+.1f}, {100 * change['high']:+.1f}]",
                flips,
                f"{row['adjusted_p_value']:.2g}",
                f"{percent(kept['value'])} [{percent(kept['low'])}, {percent(kept['high'])}]"
                if "value" in kept
                else "not informative",
                row["no_worse"],
            )
        )
    columns = (
        "benchmark",
        "baseline",
        "candidate",
        "points [95 %]",
        "flips",
        "p (Holm)",
        "kept above a guess",
        "no worse",
    )
    return new_table(columns, rows, title=f"{found['candidate']} beside {found['baseline']}")
