"""The command that judges each new version of a ref."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from birdbone.cli.evaluate import options
from birdbone.cli.options import AsJsonLines


def watch(
    ref: Annotated[str, typer.Argument(metavar="REF", help="The branch whose versions are judged.")],
    rules: Annotated[Path, typer.Option(metavar="FILE", help="YAML with the rules.")],
    environment: Annotated[
        str, typer.Option("--environment", "-e", metavar="NAME", help="Which named set of gates.")
    ] = "",
    baseline: Annotated[
        str | None, typer.Option(metavar="VERSION", help="What to compare with; the newest accepted one unless given.")
    ] = None,
    until: Annotated[str, typer.Option(metavar="RUNG", help="The last rung: `smoke`, `quick` or `full`.")] = "full",
    promote: Annotated[
        str | None, typer.Option(metavar="BRANCH", help="A branch that moves to each version that is accepted.")
    ] = None,
    once: Annotated[bool, typer.Option("--once", help="Judge what waits; end with 1 if one failed.")] = False,
    every: Annotated[
        float, typer.Option(min=0.1, metavar="SECONDS", help="How often to look whether the ref has moved.")
    ] = 2.0,
    window: Annotated[int, typer.Option(min=2, help="Tokens a window of the text that is read.")] = 512,
    limit: options.Limit = None,
    items: options.Items = None,
    dtype: options.DtypeName = "auto",
    threads: options.Threads = None,
    as_json: AsJsonLines = False,
) -> None:
    """Judge each new version of a ref, rung by rung."""
    from birdbone.cli import output
    from birdbone.cli.evaluate import asking, watching

    request = watching.Request(
        ref=ref,
        rules=rules,
        environment=environment,
        baseline=baseline,
        until=until,
        promote=promote,
        window=window,
        asked=asking.Asked(limit=limit, items=items),
        on=asking.On(dtype=dtype, threads=threads),
    )
    has_failed = False
    for judgement in watching.follow(request, every_seconds=None if once else every):
        has_failed |= not judgement.is_accepted
        if as_json:
            output.print_json_line(judgement.model_dump(mode="json"))
        else:
            output.print_line(f"{judgement.version[:11]} {judgement.words}")
    if has_failed:
        raise typer.Exit(1)
