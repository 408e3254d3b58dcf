"""A hook of mkdocs: the tables of benchmarks, made from the rows in `benchmarks/results/*.json`.

`make bench` stores the row that each `benchmarks/<room>/bench_<claim>.py` prints: where it came from (`bench`,
`commit`, `machine`, `settings`, `settings_digest`), and its figures. `x_min` and `x_max` are the
range of the figure `x`. A row that does not say where it came from fails the build. No rows: "not measured".
"""

from __future__ import annotations

import ast
import json
from pathlib import Path
from typing import Any

MARKER = "<!-- benchmarks -->"
BENCHMARKS = Path(__file__).parent.parent / "benchmarks"
PROVENANCE = ("bench", "commit", "machine", "settings", "settings_digest")


def on_page_markdown(markdown: str, **_kwargs: Any) -> str:
    """Put the tables where a page has the marker (called by mkdocs)."""
    return markdown.replace(MARKER, render(read_rows(BENCHMARKS / "results"))) if MARKER in markdown else markdown


def read_rows(folder: Path) -> list[dict[str, Any]]:
    """Return the row of each file in a folder, by file name.

    Raises:
        ValueError: a row does not say where it came from, or has no figure (names the file).
    """
    rows = []
    for path in sorted(folder.glob("*.json")):
        row = json.loads(path.read_text(encoding="utf-8"))
        missing = [name for name in PROVENANCE if not row.get(name)]
        if missing or not figures(row):
            raise ValueError(f"{path.name}: missing {', '.join(missing) or 'figures'}; write it by `make bench`")
        rows.append(row)
    return rows


def render(rows: list[dict[str, Any]]) -> str:
    """Return the rows as Markdown, or the sentence that nothing was measured."""
    return "\n\n".join(map(_render_row, rows)) if rows else "Not measured: `benchmarks/results/` holds no rows."


def figures(row: dict[str, Any]) -> dict[str, float]:
    """Return the numbers of a row by name, without the ends of ranges."""
    numbers = {name: value for name, value in row.items() if isinstance(value, int | float)}
    ends = {f"{name}{end}" for name in numbers for end in ("_min", "_max")}
    return {name: value for name, value in numbers.items() if name not in ends}


def _render_row(row: dict[str, Any]) -> str:
    lines = [f"## {_claim(row['bench'])}", "", "| figure | value | range |", "|---|---|---|"]
    for name, value in figures(row).items():
        lines.append(f"| {name.replace('_', ' ')} | {_number(value)} | {_range(row, name)} |")
    settings = ", ".join(f"{name} {value}" for name, value in row["settings"].items())
    lines += ["", f"`benchmarks/{row['bench']}.py` at `{row['commit'][:12]}` on {row['machine']}; {settings}."]
    return "\n".join(lines)


def _claim(bench: str) -> str:
    """Return the first sentence of the script's docstring, or its path where the script is gone."""
    path = BENCHMARKS / f"{bench}.py"
    docstring = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) if path.is_file() else None
    return (docstring or bench).splitlines()[0].rstrip(".")


def _range(row: dict[str, Any], name: str) -> str:
    low, high = row.get(f"{name}_min"), row.get(f"{name}_max")
    return "" if low is None or high is None else f"{_number(low)} to {_number(high)}"


def _number(value: float) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:,}" if isinstance(value, int) else f"{value:.4g}"
