"""Arguments and options that several commands share."""

from __future__ import annotations

from typing import Annotated

import typer

from birdbone.cli.edge import JSON


def _remember(context: typer.Context, value: bool) -> bool:
    context.meta[JSON] = value
    return value


AsJson = Annotated[bool, typer.Option("--json", callback=_remember, help="Print one JSON document.")]
"""Data for a program; an error is then one JSON object on standard error."""

AsJsonLines = Annotated[bool, typer.Option("--json", callback=_remember, help="Print one JSON object a line.")]
"""The same for what comes line by line."""

RunName = Annotated[str, typer.Argument(metavar="RUN", help="A run's id, its beginning, or `latest`.")]
"""Which run."""

LatestRun = Annotated[str, typer.Argument(metavar="RUN", help="A run's id, its beginning, or `latest`.")]
"""Which run, the newest unless it is named."""
