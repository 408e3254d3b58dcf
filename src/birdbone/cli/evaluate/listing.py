"""What `eval list` prints. Needs neither a model nor lm-eval."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from rich.table import Table

from birdbone.cli.output import new_table
from birdbone.evaluate.benchmarks import BENCHMARKS, SUITES
from birdbone.evaluate.benchmarks.local_items import FILES


def catalogue() -> list[dict[str, Any]]:
    """Return every benchmark with its suites and files, as plain data."""
    return [
        {
            **asdict(benchmark),
            "tasks": len(benchmark.tasks),
            "suites": [suite for suite, asked in SUITES.items() if name in {each.benchmark for each in asked}],
            "files": list(FILES[name]),
        }
        for name, benchmark in BENCHMARKS.items()
    ]


def catalogue_table(rows: list[dict[str, Any]]) -> Table:
    """Return the catalogue as a table."""
    columns = ("benchmark", "examples", "metric", "suites", "files")
    return new_table(
        columns,
        [
            (row["name"], str(row["num_fewshot"]), row["metric"], " ".join(row["suites"]), " ".join(row["files"]))
            for row in rows
        ],
    )
