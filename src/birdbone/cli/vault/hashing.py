"""The command on files of weights that needs no workspace."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from birdbone.cli.options import AsJson


def hash_files(
    files: Annotated[list[Path], typer.Argument(metavar="FILE", help="A .safetensors, .gguf, .pt, .pth or .bin.")],
    manifest: Annotated[Path, typer.Option(metavar="FILE", help="Where the digests are kept; made if missing.")] = Path(
        ".birdbone-weights.json"
    ),
    check: Annotated[
        bool, typer.Option("--check", help="Write nothing; a file that is not as the manifest says is an error.")
    ] = False,
    hook: Annotated[
        bool, typer.Option("--hook", help="Write the manifest, and end with an error if that changed it.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Hash weights and metadata apart, and tell what changed."""
    from dataclasses import asdict

    from birdbone.cli import output
    from birdbone.vault import WeightsChangedError, update_manifest

    found, changes = update_manifest(manifest, files, is_check=check)
    if as_json:
        output.print_json({change.path: asdict(found[change.path]) | {"change": asdict(change)} for change in changes})
    else:
        output.print_line("\n".join(change.in_words() for change in changes))
    differing = [change.path for change in changes if change.is_change]
    if differing and (check or hook):
        state = "is not as the manifest says" if check else "changed; the manifest is written, add it to the commit"
        raise WeightsChangedError(f"{differing[0]} {state}.", paths=differing)
