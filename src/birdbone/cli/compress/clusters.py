"""The command that groups neurons and heads."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from birdbone.cli.compress import options
from birdbone.cli.options import AsJson


def clusters(
    model: options.Model,
    units: Annotated[
        str, typer.Option(help="`neurons` of the feed-forward parts, or `heads` of attention.")
    ] = "neurons",
    layer: Annotated[list[int] | None, typer.Option(help="Only this layer, from 0; may be repeated.")] = None,
    scope: Annotated[str, typer.Option(help="`layer`: each has its own clusters; `model`: one set for all.")] = "layer",
    method: Annotated[str, typer.Option(help="`kmeans`, `hdbscan` or `agglomerative`.")] = "kmeans",
    num_clusters: Annotated[
        int | None, typer.Option("--clusters", min=2, help="How many a part; by the silhouette unless given.")
    ] = None,
    against: Annotated[
        Path | None, typer.Option(metavar="FILE", help="An earlier clusters.json: what became of its clusters.")
    ] = None,
    text: options.Text = "bundled",
    windows: options.NumWindows = 16,
    window: options.Window = 256,
    seed: options.Seed = 0,
    threads: options.Threads = None,
    out: Annotated[
        Path | None, typer.Option(metavar="FOLDER", help="Write a page, JSON, CSV and Parquet into this folder.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Group neurons or heads by what they do. Says how good and how stable the groups are."""
    from birdbone.cli import output
    from birdbone.cli.compress import clustering, sampling

    asked = clustering.asked_for(units, scope=scope, method=method, num_clusters=num_clusters)
    sample = sampling.Sample(source=text, num_windows=windows, window=window)
    found = clustering.cluster(
        model, asked, layers=layer or (), sample=sample, seed=seed, num_threads=threads, against=against
    )
    paths = clustering.write(out, found) if out is not None else ()
    if as_json:
        output.print_json(clustering.as_json(found))
    else:
        for table in clustering.tables(found):
            output.print_table(table)
    for path in paths:
        output.talk(f"written: {path}")
