"""The command that says what each weight of a model is worth."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from birdbone.cli.options import AsJson


def score(
    model: Annotated[
        str,
        typer.Argument(metavar="MODEL", help="`starter`, a folder, a .safetensors, a .gguf, a hub id, or a version."),
    ],
    metric: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME", help="magnitude, wanda, ria, hessian, gradient, fisher or pruner_zero; all unless given."
        ),
    ] = None,
    data: Annotated[str, typer.Option(help="Text: `bundled`, a file, a folder, or a hub dataset.")] = "bundled",
    windows: Annotated[int, typer.Option(min=1, metavar="N", help="Windows of calibration text.")] = 16,
    window: Annotated[int, typer.Option(min=2, metavar="TOKENS", help="Tokens of a window.")] = 256,
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
    threads: Annotated[int | None, typer.Option(min=1, help="Threads; as many as are free unless given.")] = None,
    as_json: AsJson = False,
) -> None:
    """Score every weight by several metrics, and show where importance lies."""
    from birdbone.cli import output
    from birdbone.cli.compress import scoring

    order = scoring.Order(
        model=model,
        metrics=scoring.metrics_of(metric),
        data=data,
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
