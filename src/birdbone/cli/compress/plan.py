"""The command that plans over several techniques, and carries the plan out."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from birdbone.cli.compress import options
from birdbone.cli.options import AsJson


def plan(
    model: options.Model,
    max_bytes: Annotated[
        str | None, typer.Option(metavar="SIZE", help="Bytes that the file may have at most, such as 90M or 80MiB.")
    ] = None,
    max_loss: Annotated[
        str | None, typer.Option(metavar="SHARE", help="Rise of perplexity that is allowed, such as 3% or 0.03.")
    ] = None,
    max_ms: Annotated[
        float | None, typer.Option(min=0.001, metavar="MS", help="Milliseconds that decoding a token may take.")
    ] = None,
    target: Annotated[str, typer.Option(help="What it is made for: `cpu` or `gpu`.")] = "cpu",
    profile: Annotated[str, typer.Option(help="Kind of machine: `edge`, `mobile`, `laptop` or `server`.")] = "laptop",
    text: options.Text = "bundled",
    windows: options.NumWindows = 16,
    window: options.Window = 256,
    judged: options.NumJudged = 16,
    heal: Annotated[
        int, typer.Option(min=0, metavar="STEPS", help="Steps of healing in plans that heal; 0 leaves healing out.")
    ] = 120,
    trials: Annotated[int, typer.Option(min=1, help="Plans that the search looks at.")] = 600,
    seed: options.Seed = 0,
    threads: options.Threads = None,
    cache: Annotated[
        Path | None,
        typer.Option(metavar="FOLDER", help="Where measurements are kept; the workspace, or else the user's cache."),
    ] = None,
    run: Annotated[bool, typer.Option("--run", help="Carry the chosen plan out and judge the file.")] = False,
    out: Annotated[Path | None, typer.Option(metavar="FILE", help="The .gguf that --run writes.")] = None,
    page: Annotated[Path | None, typer.Option(metavar="FILE", help="Write a page with a picture.")] = None,
    as_json: AsJson = False,
) -> None:
    """Find what cuts and bits together come to on this machine. Can carry the chosen plan out."""
    from birdbone.cli import output
    from birdbone.cli.compress import plan_words, planning, sampling

    asked = planning.asked_for(
        max_bytes=max_bytes,
        max_loss=max_loss,
        max_ms=max_ms,
        target=target,
        profile=profile,
        num_healing_steps=heal,
        num_trials=trials,
        seed=seed,
        out=out if run else None,
        is_run=run,
    )
    sample = sampling.JudgedSample(source=text, num_windows=windows, num_judged=judged, window=window)
    found = planning.plan(model, asked, sample=sample, cache=cache, num_threads=threads)
    if as_json:
        output.print_json(plan_words.as_json(found))
    else:
        for table in plan_words.tables(found):
            output.print_table(table)
        for line in plan_words.lines(found):
            output.print_line(line)
    for path in plan_words.write(found, page=page):
        output.talk(f"written: {path}")
