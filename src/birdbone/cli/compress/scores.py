"""The command that says what each weight of a model is worth."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from birdbone.cli.compress import options
from birdbone.cli.options import AsJson


def score(
    model: options.Model,
    metric: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME", help="magnitude, wanda, ria, hessian, gradient, fisher or pruner_zero; all unless given."
        ),
    ] = None,
    text: options.Text = "bundled",
    windows: options.NumWindows = 16,
    window: options.Window = 256,
    out: Annotated[
        Path | None,
        typer.Option(metavar="FOLDER", help="Write a page, all figures as JSON, CSV and Parquet, and the scores."),
    ] = None,
    keep: Annotated[
        float, typer.Option(min=0, max=1, metavar="SHARE", help="Share of each linear's scores that --out keeps.")
    ] = 0.01,
    keep_end: Annotated[str, typer.Option(help="Keep the `top` or the `bottom` of the scores.")] = "top",
    pictures: Annotated[
        bool, typer.Option("--pictures", help="Draw PNG and SVG too; needs the extra `plots`.")
    ] = False,
    seed: Annotated[int, typer.Option(help="Of the weights that metrics are compared on.")] = 0,
    threads: options.Threads = None,
    as_json: AsJson = False,
) -> None:
    """Score every weight by several metrics. Shows where importance lies."""
    from birdbone.cli import output
    from birdbone.cli.compress import scoring

    order = scoring.Order(
        model=model,
        metrics=scoring.metrics_of(metric),
        text=text,
        num_windows=windows,
        window=window,
        out=out,
        keep=keep,
        end=scoring.end_of(keep_end),
        draws=pictures,
        seed=seed,
        num_threads=threads,
    )
    found = scoring.score(order)
    if as_json:
        output.print_json(scoring.as_json(found))
    else:
        for table in scoring.tables(found):
            output.print_table(table)
    for path in found.written:
        output.talk(f"written: {path}")
