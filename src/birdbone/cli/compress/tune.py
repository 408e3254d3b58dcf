"""The command that searches thresholds of clusters."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from birdbone.cli.compress import options
from birdbone.cli.options import AsJson


def tune(
    model: options.Model,
    target: Annotated[float, typer.Option(min=0.01, max=0.95, help="Share of the weights that is shed.")] = 0.5,
    trials: Annotated[int, typer.Option(min=1, help="Trials in all, those of an earlier session included.")] = 32,
    objective: Annotated[str, typer.Option(help="`loss` at one size, or `size-loss` for the front of both.")] = "loss",
    num_clusters: Annotated[int, typer.Option("--clusters", min=2, help="Clusters of neurons in each layer.")] = 4,
    balance: Annotated[str, typer.Option(help="Where the target holds: in each `layer`, or in the `model`.")] = "layer",
    low: Annotated[float, typer.Option(min=0, max=1, help="No cluster sheds a smaller share.")] = 0.0,
    high: Annotated[float, typer.Option(min=0, max=1, help="No cluster sheds a larger share.")] = 0.95,
    by_hand: Annotated[
        list[str] | None, typer.Option("--set", metavar="CLUSTER=SHARE", help="A share set by hand; may be repeated.")
    ] = None,
    text: options.Text = "bundled",
    windows: options.NumWindows = 8,
    judged: options.NumJudged = 16,
    window: options.Window = 256,
    history: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Journal of the search; one that is there is gone on with.")
    ] = None,
    seed: options.Seed = 0,
    threads: options.Threads = None,
    out: Annotated[
        Path | None, typer.Option(metavar="FOLDER", help="Write thresholds and the search as JSON into this folder.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Search what each cluster should shed. It is judged beside an even share on other text."""
    from birdbone.cli import output
    from birdbone.cli.compress import sampling, tuning

    shares = tuning.shares_of(balance, low=low, high=high, by_hand=by_hand or ())
    asked = tuning.asked_for(
        target, shares, num_trials=trials, objective=objective, num_clusters=num_clusters, seed=seed
    )
    sample = sampling.Sample(source=text, num_windows=windows, window=window)
    found = tuning.search(model, asked, sample=sample, num_judged=judged, history=history, num_threads=threads)
    paths = tuning.write(out, found) if out is not None else ()
    if as_json:
        output.print_json(tuning.as_json(found))
    else:
        for table in tuning.tables(found):
            output.print_table(table)
        output.print_line(tuning.verdict(found))
    for path in paths:
        output.talk(f"written: {path}")
