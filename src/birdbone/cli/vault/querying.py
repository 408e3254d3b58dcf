"""Commands that ask which versions are in a certain state."""

from __future__ import annotations

from typing import Annotated

import typer

from birdbone.cli.options import AsJson
from birdbone.cli.vault.options import Limit


def query(
    text: Annotated[
        str, typer.Argument(metavar="QUERY", help="Such as \"sparsity > 50% and phase = 'compress'\"; all if left out.")
    ] = "",
    order: Annotated[str, typer.Option(metavar="FIELDS", help="Such as `perplexity, time desc`.")] = "",
    columns: Annotated[
        str | None, typer.Option(metavar="FIELDS", help="What to show, such as `id,perplexity,size`.")
    ] = None,
    every: Annotated[bool, typer.Option("--all", help="Also what refs pointed at once.")] = False,
    limit: Limit = None,
    as_json: AsJson = False,
) -> None:
    """Find versions by fields, figures and names."""
    from birdbone.cli import output
    from birdbone.cli.vault import asking

    found = asking.ask(text, order=order, limit=limit, columns=columns, every=every, as_json=as_json)
    if as_json:
        output.print_json([match.row for match in found])
    else:
        asking.print_matches(found)


def retention(
    newest: Annotated[
        int | None, typer.Option(metavar="N", min=1, help="Keep the newest N versions of each branch.")
    ] = None,
    days: Annotated[
        float | None, typer.Option(metavar="DAYS", min=0, help="Keep what was committed within so many days.")
    ] = None,
    where: Annotated[
        list[str] | None, typer.Option(metavar="QUERY", help="Keep what matches; may be repeated.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Say which versions no rule wants kept; removes nothing."""
    from dataclasses import asdict

    from birdbone.cli import output
    from birdbone.cli.vault import asking

    plan = asking.plan(newest=newest, days=days, where=where or ())
    output.print_json(asdict(plan)) if as_json else output.print_line("\n".join(asking.plan_lines(plan)))
