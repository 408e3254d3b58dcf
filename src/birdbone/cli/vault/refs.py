"""Commands on names: branches, tags, HEAD, and who may move them."""

from __future__ import annotations

from typing import Annotated

import typer

from birdbone.cli.options import AsJson
from birdbone.cli.vault.options import Author, Force


def branch(
    name: Annotated[str | None, typer.Argument(metavar="NAME", help="The branch; lists them if left out.")] = None,
    at: Annotated[
        str | None, typer.Argument(metavar="AT", help="Where it begins, HEAD unless given; of --move, the new name.")
    ] = None,
    move: Annotated[bool, typer.Option("--move", "-m", help="Rename: OLD NEW, or NEW for this branch.")] = False,
    delete: Annotated[bool, typer.Option("--delete", "-d", help="Delete a branch that another ref reaches.")] = False,
    delete_forced: Annotated[bool, typer.Option("-D", help="Delete it all the same.")] = False,
    force: Force = False,
    as_json: AsJson = False,
) -> None:
    """List, make, rename or delete branches."""
    from birdbone.cli import output
    from birdbone.cli.vault import naming
    from birdbone.cli.vault.work import open_store

    vault = open_store()
    if name is None and not (move or delete or delete_forced):
        rows = naming.branch_rows(vault)
        output.print_json(rows) if as_json else naming.print_rows(rows, empty="no branch has a version yet")
        return
    is_forced = force or delete_forced
    act = naming.BranchAct(move=move, delete=delete or delete_forced, force=is_forced)
    done = naming.change_branch(vault, name, at, act)
    output.print_json(done) if as_json else output.print_line(done["words"])


def tag(
    name: Annotated[str | None, typer.Argument(metavar="NAME", help="The tag; lists them if left out.")] = None,
    at: Annotated[str, typer.Argument(metavar="AT", help="What it stands for.")] = "HEAD",
    delete: Annotated[bool, typer.Option("--delete", "-d", help="Delete it.")] = False,
    force: Force = False,
    as_json: AsJson = False,
) -> None:
    """List, make or delete tags."""
    from birdbone.cli import output
    from birdbone.cli.vault import naming
    from birdbone.cli.vault.work import open_store

    vault = open_store()
    if name is None:
        rows = naming.tag_rows(vault)
        output.print_json(rows) if as_json else naming.print_rows(rows, empty="no tag yet")
        return
    done = naming.change_tag(vault, name, at, is_delete=delete, force=force)
    output.print_json(done) if as_json else output.print_line(done["words"])


def switch(
    target: Annotated[str, typer.Argument(metavar="BRANCH", help="The branch; `-` for the one before.")],
    at: Annotated[str, typer.Argument(metavar="AT", help="Where a new branch begins.")] = "HEAD",
    create: Annotated[bool, typer.Option("--create", "-c", help="Make the branch first.")] = False,
    detach: Annotated[bool, typer.Option("--detach", help="Stand for a version, not for a branch.")] = False,
    force: Annotated[
        bool, typer.Option("--force", "-f", help="Overwrite files though no version holds what is in them.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Go to a branch; the work folder's files follow."""
    from birdbone.cli import output
    from birdbone.cli.vault import moving

    done = moving.switch_with_files(target, create=create, at=at, detach=detach, force=force)
    output.print_json(done.to_dict()) if as_json else output.print_line(done.in_words())


def protect(
    pattern: Annotated[
        str | None, typer.Argument(metavar="PATTERN", help="Such as main or release/*; shows the settings if left out.")
    ] = None,
    remove: Annotated[bool, typer.Option("--remove", help="Protect it no more.")] = False,
    author: Author = None,
    as_json: AsJson = False,
) -> None:
    """Let branches only move forwards."""
    from birdbone.cli import output
    from birdbone.cli.vault import naming
    from birdbone.cli.vault.work import open_store
    from birdbone.vault.refs.permissions import protect as protect_pattern
    from birdbone.vault.refs.permissions import read_settings, unprotect

    vault = open_store()
    if pattern is None:
        settings = read_settings(vault)
    else:
        settings = (unprotect if remove else protect_pattern)(vault, pattern, author=author)
    output.print_json(settings.model_dump()) if as_json else output.print_line(naming.settings_words(settings))


def grant(
    pattern: Annotated[
        str | None, typer.Argument(metavar="PATTERN", help="Refs, such as main or release/*; `refs/*` for all.")
    ] = None,
    identity: Annotated[str | None, typer.Argument(metavar="WHO", help="An identity; `*` for everybody.")] = None,
    level: Annotated[str | None, typer.Argument(metavar="LEVEL", help="read, write, merge, admin, or none.")] = None,
    default: Annotated[
        str | None, typer.Option(metavar="LEVEL", help="What everybody may do where no grant says otherwise.")
    ] = None,
    author: Author = None,
    as_json: AsJson = False,
) -> None:
    """Say who may read, write, merge and administer refs."""
    from birdbone.cli import output
    from birdbone.cli.vault import naming
    from birdbone.cli.vault.work import open_store

    settings = naming.change_grants(open_store(), (pattern, identity, level), default=default, author=author)
    output.print_json(settings.model_dump()) if as_json else output.print_line(naming.settings_words(settings))
