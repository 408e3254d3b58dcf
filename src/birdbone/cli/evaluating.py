"""Commands that judge a model: ask it benchmarks, and list which there are."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from birdbone.cli.options import AsJson

evaluate = typer.Typer(
    help="Judge a model by benchmarks, in the engine that runs it.", no_args_is_help=True, rich_markup_mode=None
)


@evaluate.command()
def run(
    model: Annotated[
        str, typer.Argument(metavar="MODEL", help="`starter`, a folder, a .safetensors, a .gguf, or a hub id.")
    ],
    suite: Annotated[str, typer.Option(help="`quick` (minutes), `core` or `full`.")] = "quick",
    only: Annotated[
        list[str] | None, typer.Option(metavar="BENCHMARK", help="Only this benchmark; may be repeated.")
    ] = None,
    limit: Annotated[int | None, typer.Option(min=1, help="Ask only the first so many items of each task.")] = None,
    items: Annotated[
        Path | None, typer.Option(help="Folder with the files of the benchmarks; the hub unless given.")
    ] = None,
    engine: Annotated[
        str | None, typer.Option(help="`torch` or `llama.cpp`; a .gguf runs in llama.cpp unless told otherwise.")
    ] = None,
    dtype: Annotated[str, typer.Option(help="In torch: `float32`, `bfloat16`, or `auto` by measuring.")] = "auto",
    threads: Annotated[int | None, typer.Option(min=1, help="Threads; as many as are free unless given.")] = None,
    fresh: Annotated[bool, typer.Option("--fresh", help="Ask again what was asked before.")] = False,
    as_json: AsJson = False,
) -> None:
    """Ask a model the benchmarks of a suite."""
    from birdbone.cli import judging, output

    request = judging.Request(
        model=model,
        suite=suite,
        only=tuple(only or ()),
        limit=limit,
        items=items,
        engine=engine,
        dtype=dtype,
        num_threads=threads,
        is_fresh=fresh,
    )
    results = []
    for result in judging.run(request):
        results.append(result)
        output.talk(f"{result.benchmark}: {100 * result.accuracy:.1f} % of {len(result.items):,}")
    if as_json:
        output.print_json([judging.result_json(result) for result in results])
    else:
        output.print_table(judging.results_table(results))


@evaluate.command()
def compare(
    models: Annotated[
        list[str], typer.Argument(metavar="BASELINE CANDIDATE...", help="What to compare with, then what to compare.")
    ],
    suite: Annotated[str, typer.Option(help="`quick` (minutes), `core` or `full`.")] = "quick",
    only: Annotated[
        list[str] | None, typer.Option(metavar="BENCHMARK", help="Only this benchmark; may be repeated.")
    ] = None,
    limit: Annotated[int | None, typer.Option(min=1, help="Ask only the first so many items of each task.")] = None,
    items: Annotated[
        Path | None, typer.Option(help="Folder with the files of the benchmarks; the hub unless given.")
    ] = None,
    engine: Annotated[
        str | None, typer.Option(help="`torch` or `llama.cpp`; a .gguf runs in llama.cpp unless told otherwise.")
    ] = None,
    dtype: Annotated[str, typer.Option(help="In torch: `float32`, `bfloat16`, or `auto` by measuring.")] = "auto",
    threads: Annotated[int | None, typer.Option(min=1, help="Threads; as many as are free unless given.")] = None,
    as_json: AsJson = False,
) -> None:
    """Put models side by side on benchmarks, item by item."""
    from birdbone.cli import judging, output
    from birdbone.cli.errors import UsageError

    if len(models) < 2:
        raise UsageError("Name a baseline and at least one candidate.")
    requests = [
        judging.Request(
            model=model,
            suite=suite,
            only=tuple(only or ()),
            limit=limit,
            items=items,
            engine=engine,
            dtype=dtype,
            num_threads=threads,
            is_fresh=False,
        )
        for model in models
    ]
    found = judging.compare_models(requests)
    if as_json:
        output.print_json(found)
    else:
        for row in found:
            output.print_table(judging.comparison_table(row))


@evaluate.command("test")
def check(
    model: Annotated[
        str, typer.Argument(metavar="MODEL", help="`starter`, a folder, a .safetensors, a .gguf, or a hub id.")
    ],
    against: Annotated[
        str | None, typer.Option(metavar="MODEL", help="The same model in another form, which it has to agree with.")
    ] = None,
    engine: Annotated[
        str | None, typer.Option(help="`torch` or `llama.cpp`; a .gguf runs in llama.cpp unless told otherwise.")
    ] = None,
    seed: Annotated[int, typer.Option(help="Of all that is drawn.")] = 0,
    threads: Annotated[int | None, typer.Option(min=1, help="Threads; as many as are free unless given.")] = None,
    as_json: AsJson = False,
) -> None:
    """Check a model by itself; ends with 1 if a check fails."""
    from dataclasses import asdict

    from birdbone.cli import judging, output

    found = judging.run_test(model, engine=engine, against=against, seed=seed, num_threads=threads)
    if as_json:
        output.print_json([asdict(row) for row in found])
    else:
        output.print_table(judging.checks_table(found))
    if any(row.outcome == "fail" for row in found):
        raise typer.Exit(1)


@evaluate.command("list")
def list_(as_json: AsJson = False) -> None:
    """List the benchmarks with the files that each needs."""
    from birdbone.cli import judging, output

    rows = judging.catalogue()
    if as_json:
        output.print_json(rows)
    else:
        output.print_table(judging.catalogue_table(rows))
