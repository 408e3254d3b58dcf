"""The command that measures what a model costs."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from birdbone.cli.evaluate import options
from birdbone.cli.options import AsJson


def cost(
    models: Annotated[
        list[str], typer.Argument(metavar="MODEL...", help="A model; of several, the others are put beside the first.")
    ],
    engine: options.EngineName = None,
    dtype: options.DtypeName = "auto",
    threads: options.Threads = None,
    prompt_tokens: Annotated[
        str, typer.Option(metavar="N,N", help="Lengths of the prompts; decoding begins after the shortest.")
    ] = "32,128,512",
    new_tokens: Annotated[int, typer.Option(min=1, help="Tokens that a turn decodes.")] = 32,
    repeats: Annotated[int, typer.Option(min=1, help="Timed turns; from 6 on, a median has an interval.")] = 7,
    out: Annotated[
        Path | None, typer.Option(metavar="FOLDER", help="Write a page and all data as JSON into this folder.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Measure what a model costs, and what bounds it."""
    from birdbone.cli import output
    from birdbone.cli.evaluate import costing

    plan = costing.plan_of(prompt_tokens, new_tokens=new_tokens, repeats=repeats)
    found = costing.measure(models, plan, engine=engine, dtype=dtype, num_threads=threads)
    paths = costing.write(out, found) if out is not None else ()
    if as_json:
        output.print_json(costing.as_json(found))
    else:
        for table in costing.tables(found):
            output.print_table(table)
    for path in paths:
        output.talk(f"written: {path}")
