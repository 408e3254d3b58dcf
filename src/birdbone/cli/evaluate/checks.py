"""The command that checks a model by itself."""

from __future__ import annotations

from typing import Annotated

import typer

from birdbone.cli.evaluate import options
from birdbone.cli.options import AsJson


def check(
    model: options.Model,
    against: Annotated[
        str | None,
        typer.Option(metavar="MODEL", help="The baseline: the same model in another form, or before it was changed."),
    ] = None,
    tolerance: Annotated[
        float | None,
        typer.Option(metavar="NATS", help="What a change may cost a token; unless given, both must be the same model."),
    ] = None,
    engine: options.EngineName = None,
    seed: options.Seed = 0,
    threads: options.Threads = None,
    as_json: AsJson = False,
) -> None:
    """Check a model; ends with 1 if a check fails."""
    from birdbone.cli import output
    from birdbone.cli.evaluate import checking

    found = checking.check_model(
        model, engine=engine, against=against, tolerance_nats=tolerance, seed=seed, num_threads=threads
    )
    if as_json:
        output.print_json([row.model_dump(mode="json") for row in found])
    else:
        output.print_table(checking.checks_table(found))
    if any(row.outcome == "fail" for row in found):
        raise typer.Exit(1)
