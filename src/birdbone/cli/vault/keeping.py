"""Commands between a work folder and its versions: make a store, commit, compare, check out."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from birdbone.cli.options import AsJson
from birdbone.cli.vault.options import Author, DryRun, VersionName


def init(
    folder: Annotated[Path, typer.Argument(metavar="FOLDER", help="Where; the current folder unless given.")] = Path(),
    as_json: AsJson = False,
) -> None:
    """Make a vault in a folder."""
    from birdbone.cli import output
    from birdbone.core import make_workspace
    from birdbone.vault.folder import open_vault

    workspace, is_new = make_workspace(folder)
    open_vault(workspace.vault_folder)
    output.talk("made an empty vault" if is_new else "there is a vault already; nothing was changed")
    if as_json:
        output.print_json({"folder": str(workspace.folder), "is_new": is_new})
    else:
        output.print_line(str(workspace.folder))


def commit(
    path: Annotated[
        Path | None,
        typer.Argument(metavar="PATH", help="Folder or file to keep; the work folder unless given."),
    ] = None,
    message: Annotated[str, typer.Option("--message", "-m", metavar="TEXT", help="What changed and why.")] = "",
    kind: Annotated[
        str | None, typer.Option(metavar="KIND", help="model, mask, adapter, dataset, report; as before, or model.")
    ] = None,
    measurements: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Figures taken on these files: a JSON list.")
    ] = None,
    author: Author = None,
    allow_empty: Annotated[bool, typer.Option("--allow-empty", help="Also if no byte changed.")] = False,
    force: Annotated[bool, typer.Option("--force", "-f", help="Also if HEAD moved on since.")] = False,
    dry_run: DryRun = False,
    as_json: AsJson = False,
) -> None:
    """Keep the files of a folder as a new version."""
    from birdbone.cli import output
    from birdbone.cli.vault import committing
    from birdbone.cli.vault.work import open_work

    request = committing.Request(
        message=message, kind=kind, author=author, figures=measurements, allow_empty=allow_empty, force=force
    )
    done = committing.commit_work(open_work(path), request, is_dry_run=dry_run)
    output.talk(done.talk()) if done.talk() else None
    output.print_json(done.to_dict()) if as_json else output.print_line(done.in_words())
    if done.is_empty:
        raise typer.Exit(1)


def status(
    path: Annotated[
        Path | None, typer.Argument(metavar="PATH", help="Folder or file; the work folder unless given.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Compare the work folder with HEAD."""
    from birdbone.cli import output
    from birdbone.cli.vault import committing
    from birdbone.cli.vault.work import open_work

    found = committing.describe_work(open_work(path))
    output.print_json(found.to_dict()) if as_json else output.print_line(found.in_words())


def checkout(
    name: VersionName,
    destination: Annotated[
        Path | None, typer.Argument(metavar="DEST", help="A new folder; the work folder unless given.")
    ] = None,
    force: Annotated[
        bool, typer.Option("--force", "-f", help="Overwrite files though no version holds what is in them.")
    ] = False,
    dry_run: DryRun = False,
    as_json: AsJson = False,
) -> None:
    """Write a version's files, every byte checked."""
    from birdbone.cli import output
    from birdbone.cli.vault import moving

    done = moving.check_out(name, destination, force=force, is_dry_run=dry_run)
    output.print_json(done.to_dict()) if as_json else output.print_line(done.in_words())
