"""Commands that look back: what was kept, when, by whom, and what each version holds."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from birdbone.cli.options import AsJson
from birdbone.cli.vault.options import Limit


def log(
    name: Annotated[
        str, typer.Argument(metavar="RANGE", help="A version, A..B (in B, not in A) or A...B (in one of them).")
    ] = "HEAD",
    oneline: Annotated[bool, typer.Option("--oneline", help="One line a version.")] = False,
    graph: Annotated[bool, typer.Option("--graph", help="Draw the lines of descent.")] = False,
    every: Annotated[bool, typer.Option("--all", help="Begin from every branch and tag.")] = False,
    limit: Limit = None,
    as_json: AsJson = False,
) -> None:
    """List versions, newest first."""
    from birdbone.cli import output
    from birdbone.cli.vault import looking
    from birdbone.cli.vault.work import open_store

    vault = open_store()
    if graph and not as_json:
        lines = looking.drawn_log(vault, None if every else name, limit=limit)
    else:
        found = looking.find_versions(vault, None if every else name, limit=limit)
        if as_json:
            output.print_json([entry.to_dict() for entry in found])
            return
        lines = looking.log_lines(found, is_short=oneline)
    output.print_line("\n".join(lines)) if lines else output.talk("nothing yet")


def show(
    name: Annotated[
        str, typer.Argument(metavar="NAME", help="A branch, tag, version or artefact, or HEAD~2 and the like.")
    ] = "HEAD",
    as_json: AsJson = False,
) -> None:
    """Show one version: its files, figures, notes and changes."""
    from birdbone.cli import output
    from birdbone.cli.vault import looking
    from birdbone.cli.vault.work import open_store

    found = looking.describe_version(open_store(), name)
    if as_json:
        output.print_json(found)
    else:
        looking.print_description(found)


def reflog(
    ref: Annotated[str, typer.Argument(metavar="REF", help="A branch, a tag or HEAD.")] = "HEAD",
    limit: Limit = None,
    as_json: AsJson = False,
) -> None:
    """List the moves of a ref, newest first."""
    from dataclasses import asdict

    from birdbone.cli import output
    from birdbone.cli.vault import looking
    from birdbone.cli.vault.work import open_store

    moves = looking.moves_of(open_store(), ref)[:limit]
    if as_json:
        output.print_json([asdict(move) for move in moves])
    elif moves:
        output.print_line("\n".join(looking.move_line(move, ref, back) for back, move in enumerate(moves)))
    else:
        output.talk(f"{ref} was never moved")


def annotate(
    name: Annotated[str, typer.Argument(metavar="NAME", help="A version.")] = "HEAD",
    tensor: Annotated[
        list[str] | None, typer.Option(metavar="PATTERN", help="Only these, such as `*.mlp.*`; may be repeated.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Tell which version last changed each tensor."""
    from birdbone.cli import output
    from birdbone.cli.vault import looking
    from birdbone.cli.vault.work import open_store

    found = looking.find_annotations(open_store(), name, patterns=tensor or ())
    if as_json:
        output.print_json([looking.annotation_json(entry) for entry in found])
    elif found:
        output.print_line("\n".join(looking.annotation_line(entry) for entry in found))
    else:
        output.talk("no tensor or file is called so")


def lineage(
    html: Annotated[Path | None, typer.Option(metavar="FILE", help="Write a page with the picture.")] = None,
    as_json: AsJson = False,
) -> None:
    """Show what came from what: versions, runs, datasets."""
    from birdbone.cli import output
    from birdbone.cli.vault import looking
    from birdbone.cli.vault.work import open_store
    from birdbone.vault.query import build_lineage, take_snapshot, write_lineage

    vault = open_store()
    snapshot = take_snapshot(vault)
    if html is not None:
        write_lineage(snapshot, html)
        output.talk(f"wrote {html}")
    if as_json:
        output.print_json(build_lineage(snapshot).to_dict())
    elif html is None:
        lines = looking.drawn_log(vault, None, limit=None)
        output.print_line("\n".join(lines)) if lines else output.talk("nothing yet")
