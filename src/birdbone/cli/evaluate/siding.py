"""What `eval compare` does and prints."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from rich.table import Table

from birdbone.cli.evaluate.asking import Asked, On, ask_model, judged_lines, percent
from birdbone.cli.output import new_table
from birdbone.evaluate.benchmarks.comparison import MARGIN, compare


def compare_models(models: Sequence[str], asked: Asked, on: On) -> list[dict[str, Any]]:
    """Return each candidate (all but the first) beside the baseline (the first), as plain data.

    Raises:
        UnpairedError: they were not asked the same.
        and what `ask_model` does.
    """
    baseline, *others = ((model, list(ask_model(model, asked, on))) for model in models)
    return [
        {
            "baseline": baseline[0],
            "candidate": name,
            "benchmarks": [asdict(row) | {"margin": MARGIN} for row in compare(results, baseline[1])],
            "judged": judged_lines(results),
        }
        for name, results in others
    ]


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
