"""What the commands that query a store do and print."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence

import typer

from birdbone.cli import output, words
from birdbone.cli.output import new_table
from birdbone.cli.vault.telling import plain, report_in_lines, short_digest
from birdbone.cli.vault.work import open_store
from birdbone.core import exit_code
from birdbone.vault.errors import BadQueryError
from birdbone.vault.query import (
    Match,
    RetentionPlan,
    RetentionRules,
    plan_retention,
    query_versions,
    take_snapshot,
)
from birdbone.vault.refs.notes import noted_versions

_MAX_CELL = 32


def ask(text: str, *, order: str, limit: int | None, columns: str | None, every: bool, as_json: bool) -> list[Match]:
    """Return the versions that match; a query that is wrong ends the command, its place shown by a caret."""
    names = None if columns is None else [name.strip() for name in columns.split(",") if name.strip()]
    try:
        return query_versions(
            open_store(), text, order_by=order, limit=limit, columns=names, scope="all" if every else "refs"
        )
    except BadQueryError as error:
        report_in_lines(error, as_json=as_json)
        raise typer.Exit(exit_code(error.kind)) from error


def print_matches(found: Sequence[Match]) -> None:
    """Print the rows of matches as a table, or say that there are none."""
    if not found:
        output.talk("no version matches")
        return
    columns = list(found[0].row)
    rows = [[_cell(name, match.row.get(name)) for name in columns] for match in found]
    output.print_table(new_table(columns, rows))


def plan(*, newest: int | None, days: float | None, where: Sequence[str]) -> RetentionPlan:
    """Return which versions the rules keep and which may go. Raises what `plan_retention` does."""
    vault = open_store()
    rules = RetentionRules(newest_per_branch=newest, within_days=days, where=tuple(where))
    now = dt.datetime.now(dt.UTC)
    return plan_retention(take_snapshot(vault), rules, now=now, noted=noted_versions(vault))


def plan_lines(found: RetentionPlan) -> list[str]:
    """Return a plan in lines, each version with its reasons."""
    lines = [f"keep {short_digest(each.id)}: {'; '.join(each.reasons)}" for each in found.kept]
    lines += [f"drop {short_digest(each.id)}: {'; '.join(each.reasons)}" for each in found.droppable]
    count = words.count(len(found.artefacts), "artefact")
    return [*lines, f"{count} would no longer be needed; nothing was removed"]


def _cell(name: str, value: object) -> str:
    if value is None:
        return "—"
    if isinstance(value, list):
        return ", ".join(_cell(name, each) for each in value)
    if isinstance(value, float | int):
        return words.size(value) if name == "size" else f"{value:.6g}"
    text = str(value)
    if text.startswith("b3:"):
        return short_digest(text)
    if name == "time":
        return _moment(text)
    line = plain(next(iter(text.splitlines()), ""))
    return line if len(line) <= _MAX_CELL else f"{line[: _MAX_CELL - 1]}…"


def _moment(text: str) -> str:
    return words.moment(dt.datetime.fromisoformat(text))[:16]
