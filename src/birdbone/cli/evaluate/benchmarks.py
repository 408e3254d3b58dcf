"""Commands about benchmarks: ask them, put models side by side on them, list them."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from birdbone.cli.evaluate import options
from birdbone.cli.options import AsJson


def run(
    model: options.Model,
    suite: options.Suite = None,
    only: options.Only = None,
    task: options.Tasks = None,
    limit: options.Limit = None,
    items: options.Items = None,
    engine: options.EngineName = None,
    dtype: options.DtypeName = "auto",
    served_model: options.Served = None,
    tokenizer: options.Tokenizer = None,
    context: options.NumCtx = 2048,
    threads: options.Threads = None,
    processes: options.Processes = 1,
    fresh: Annotated[bool, typer.Option("--fresh", help="Ask again what was asked before.")] = False,
    as_json: AsJson = False,
) -> None:
    """Ask a model the benchmarks of a suite, or your own."""
    from birdbone.cli import output
    from birdbone.cli.evaluate import asking

    asked = asking.Asked(
        suite=suite, only=tuple(only or ()), tasks=tuple(task or ()), limit=limit, items=items, is_fresh=fresh
    )
    on = asking.On(
        engine=engine,
        dtype=dtype,
        threads=threads,
        served_model=served_model,
        tokenizer=tokenizer,
        num_ctx=context,
        processes=processes,
    )
    results = []
    for result in asking.ask_model(model, asked, on):
        results.append(result)
        output.talk(f"{result.benchmark}: {100 * result.accuracy:.1f} % of {len(result.items):,}")
    if as_json:
        output.print_json([asking.result_json(result) for result in results])
    else:
        output.print_table(asking.results_table(results), *asking.judged_lines(results))


def compare(
    models: Annotated[
        list[str], typer.Argument(metavar="BASELINE CANDIDATE...", help="What to compare with, then what to compare.")
    ],
    suite: options.Suite = None,
    only: options.Only = None,
    task: options.Tasks = None,
    limit: options.Limit = None,
    items: options.Items = None,
    engine: options.EngineName = None,
    dtype: options.DtypeName = "auto",
    threads: options.Threads = None,
    page: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Also draw the differences as one page of HTML.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Put models side by side on benchmarks, item by item."""
    from birdbone.cli import output
    from birdbone.cli.errors import UsageError
    from birdbone.cli.evaluate import asking, siding

    if len(models) < 2:
        raise UsageError("Name a baseline and at least one candidate.")
    asked = asking.Asked(suite=suite, only=tuple(only or ()), tasks=tuple(task or ()), limit=limit, items=items)
    found = siding.compare_models(models, asked, asking.On(engine=engine, dtype=dtype, threads=threads))
    if page is not None:
        siding.write_page(found, page)
        output.talk(f"drawn in {page}")
    if as_json:
        output.print_json(found.to_json())
    else:
        for row in found.to_json():
            output.print_table(siding.comparison_table(row), *row["judged"])


def list_benchmarks(as_json: AsJson = False) -> None:
    """List the benchmarks with the files that each needs."""
    from birdbone.cli import output
    from birdbone.cli.evaluate import listing

    rows = listing.catalogue()
    if as_json:
        output.print_json(rows)
    else:
        output.print_table(listing.catalogue_table(rows))
