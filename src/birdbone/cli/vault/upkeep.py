"""Commands that keep a store in order: is every byte right, and what does nothing need any more."""

from __future__ import annotations

from typing import Annotated

import typer

from birdbone.cli.options import AsJson
from birdbone.cli.vault.options import DryRun

_SetAside = Annotated[
    bool,
    typer.Option("--set-aside", help="Move damaged objects out of the way; storing the same again mends the vault."),
]


def verify(set_aside: _SetAside = False, as_json: AsJson = False) -> None:
    """Read every byte and check it; exit code 1 if one is wrong."""
    from birdbone.cli import output
    from birdbone.cli.vault import checking
    from birdbone.cli.vault.work import open_store

    found = checking.check_store(open_store(), set_aside=set_aside, has_audit=False)
    output.print_json(found.to_dict()) if as_json else output.print_line("\n".join(found.lines()))
    if not found.is_sound:
        raise typer.Exit(1)


def fsck(set_aside: _SetAside = False, as_json: AsJson = False) -> None:
    """Do what verify does, and check the audit of all moves."""
    from birdbone.cli import output
    from birdbone.cli.vault import checking
    from birdbone.cli.vault.work import open_store

    found = checking.check_store(open_store(), set_aside=set_aside, has_audit=True)
    output.print_json(found.to_dict()) if as_json else output.print_line("\n".join(found.lines()))
    if not found.is_sound:
        raise typer.Exit(1)


def gc(
    keep_days: Annotated[
        float, typer.Option(metavar="DAYS", min=0, help="Keep what refs pointed at within so many days.")
    ] = 30.0,
    grace: Annotated[
        float, typer.Option(metavar="SECONDS", min=0, help="Keep what was stored within so many seconds.")
    ] = 3600.0,
    compress: Annotated[
        bool, typer.Option("--compress/--no-compress", help="Keep older versions in their smallest form.")
    ] = True,
    dry_run: DryRun = False,
    as_json: AsJson = False,
) -> None:
    """Remove what no ref, note or run needs."""
    from dataclasses import asdict

    from birdbone.cli import output
    from birdbone.cli.vault import checking
    from birdbone.cli.vault.work import open_store

    found = checking.collect(
        open_store(), keep_days=keep_days, grace_seconds=grace, compress=compress, is_dry_run=dry_run
    )
    output.print_json(asdict(found)) if as_json else output.print_line(checking.garbage_words(found))
