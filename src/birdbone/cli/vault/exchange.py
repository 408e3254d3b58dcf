"""Commands that bring in what other tools keep, and write what they read."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from birdbone.cli.options import AsJson
from birdbone.cli.vault.options import Author, Message, VersionName


def import_(
    source: Annotated[
        Path,
        typer.Argument(metavar="SOURCE", help="In a Hugging Face cache, DVC, Git LFS, an OCI layout, or plain files."),
    ],
    message: Message = None,
    kind: Annotated[str | None, typer.Option(metavar="KIND", help="What the source says, else model.")] = None,
    author: Author = None,
    as_json: AsJson = False,
) -> None:
    """Commit what another tool keeps, its digests checked."""
    from birdbone.cli import output
    from birdbone.cli.vault import exchanging

    done = exchanging.bring_in(source, message=message, kind=kind, author=author)
    output.print_json(done.to_dict()) if as_json else output.print_line(done.in_words())
    if not done.is_new:
        raise typer.Exit(1)


def export(
    name: VersionName,
    destination: Annotated[Path, typer.Argument(metavar="DEST", help="A new folder.")],
    oci: Annotated[bool, typer.Option("--oci", help="As an OCI image layout, for a registry.")] = False,
    as_json: AsJson = False,
) -> None:
    """Write a version as a folder that transformers loads."""
    from birdbone.cli import output
    from birdbone.cli.vault import exchanging

    done = exchanging.take_out(name, destination, is_oci=oci)
    output.print_json(done) if as_json else output.print_line(str(destination))
