"""The command that merges."""

from __future__ import annotations

from typing import Annotated

import typer

from birdbone.cli.options import AsJson
from birdbone.cli.vault.options import Author, DryRun, Message


def merge(
    theirs: Annotated[str, typer.Argument(metavar="NAME", help="The branch, tag or version to merge into HEAD.")],
    strategy: Annotated[
        list[str] | None,
        typer.Option(
            "--strategy",
            "-s",
            metavar="PATTERN=KIND",
            help="How conflicts are settled: ours, theirs, base, linear, slerp, ties, dare_ties, della; repeatable.",
        ),
    ] = None,
    base: Annotated[str | None, typer.Option(metavar="NAME", help="What both came from, if history does not say.")] = (
        None
    ),
    no_ff: Annotated[bool, typer.Option("--no-ff", help="Make a version though the branch could just move.")] = False,
    message: Message = None,
    author: Author = None,
    dry_run: DryRun = False,
    as_json: AsJson = False,
) -> None:
    """Merge a version into HEAD; exit code 1 on conflicts."""
    from birdbone.cli import output
    from birdbone.cli.vault import joining

    wanted = joining.Wanted(
        theirs=theirs,
        strategies=tuple(strategy or ()),
        base=base,
        allow_fast_forward=not no_ff,
        message=message,
        author=author,
    )
    done = joining.plan_only(wanted) if dry_run else joining.join(wanted)
    output.print_json(done.to_dict()) if as_json else output.print_line("\n".join(done.lines()))
    if done.conflicts:
        raise typer.Exit(1)
