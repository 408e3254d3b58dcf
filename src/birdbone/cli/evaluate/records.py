"""Commands about what was found before: list it with its trends, put models on a board, export it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from birdbone.cli.options import AsJson


def history(
    name: Annotated[
        str | None,
        typer.Argument(metavar="MODEL|REF", help="A model, a ref or version, or digits of a record; all if left out."),
    ] = None,
    figure: Annotated[
        str | None, typer.Option(metavar="NAME", help="Only this figure: a benchmark, or a name such as perplexity.")
    ] = None,
    better: Annotated[
        str | None, typer.Option(help="Which figures are better, `higher` or `lower`, where their name does not say.")
    ] = None,
    limit: Annotated[int, typer.Option("--limit", "-n", min=1, metavar="N", help="Show at most so many.")] = 50,
    as_json: AsJson = False,
) -> None:
    """Show what was asked of which model, and its trend."""
    from birdbone.cli import output
    from birdbone.cli.evaluate import recalling

    found = recalling.recall(name, figure=figure, better=better)
    if as_json:
        output.print_json(recalling.recalled_json(found))
        return
    output.print_table(recalling.records_table(found.records, limit=limit))
    if len(found.rows) > limit:
        output.talk(f"{len(found.rows) - limit:,} older figures are not shown: raise --limit")
    if found.trends:
        output.print_table(recalling.trends_table(found.trends))


def board(
    path: Annotated[
        Path | None, typer.Option("--output", "-o", metavar="FILE", help="Write one page of HTML here.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Put all models on a leaderboard."""
    from birdbone.cli import output
    from birdbone.cli.evaluate import boarding

    found = boarding.read_board()
    if path is not None:
        boarding.write_page(found, path)
        output.talk(f"drawn in {path}")
    if as_json:
        output.print_json(boarding.board_json(found))
    elif path is None:
        output.print_table(boarding.board_table(found))


def export(
    name: Annotated[
        str, typer.Argument(metavar="MODEL|RECORD", help="A model, a ref or version, or digits of a record.")
    ],
    to: Annotated[str, typer.Option("--format", help="`lm-eval`, `csv`, `markdown` or `card`.")],
    path: Annotated[
        Path | None, typer.Option("--output", "-o", metavar="FILE", help="Where to; standard output unless given.")
    ] = None,
) -> None:
    """Give the newest figures of a model to other tools."""
    from birdbone.cli import output
    from birdbone.cli.evaluate import exporting

    text = exporting.export_text(name, to)
    if path is None:
        output.print_line(text.rstrip("\n"))
    else:
        exporting.write_text(text, path)
        output.talk(f"written to {path}")
