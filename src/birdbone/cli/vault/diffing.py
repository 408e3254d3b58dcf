"""The command that compares two versions."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from birdbone.cli.options import AsJson


def diff(
    a: Annotated[
        str | None, typer.Argument(metavar="A", help="Before, or A..B; HEAD unless given. An artefact will do too.")
    ] = None,
    b: Annotated[str | None, typer.Argument(metavar="B", help="After; the work folder unless given.")] = None,
    names: Annotated[bool, typer.Option("--names", help="Only which names differ: no tensor is read.")] = False,
    tensors: Annotated[bool, typer.Option("--tensors", help="Every changed tensor, not only layers.")] = False,
    html: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Write a page with a picture of the layers.")
    ] = None,
    bundle: Annotated[
        Path | None, typer.Option(metavar="FOLDER", help="Write what a reviewer reads: page, Markdown, JSON.")
    ] = None,
    exit_code: Annotated[bool, typer.Option("--exit-code", help="End with 1 if anything differs, else 0.")] = False,
    as_json: AsJson = False,
) -> None:
    """Tell what differs between two versions."""
    from birdbone.cli import output
    from birdbone.cli.vault import differing

    wanted = differing.Wanted(
        names_only=names, tensors=tensors, html=html, bundle=bundle, is_thorough=as_json or tensors
    )
    found = differing.find_differences(differing.find_sides(a, b), wanted)
    if as_json:
        output.print_json(found.to_dict())
    elif not (html or bundle):
        found.print_all()
    if exit_code and not found.is_empty:
        raise typer.Exit(1)
