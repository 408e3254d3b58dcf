"""Options and arguments that several commands of the vault share."""

from __future__ import annotations

from typing import Annotated

import typer

VersionName = Annotated[
    str, typer.Argument(metavar="NAME", help="A branch, a tag, HEAD, main~2, HEAD@{1}, or six digits of a version.")
]
"""Which version."""

Author = Annotated[
    str | None, typer.Option(metavar="WHO", help="Who acts; BIRDBONE_AUTHOR or your account unless given.")
]
"""Who."""

Message = Annotated[str | None, typer.Option("--message", "-m", metavar="TEXT", help="Why.")]
"""Why."""

DryRun = Annotated[bool, typer.Option("--dry-run", "-n", help="Say what would be done, do nothing.")]
"""Only look."""

Force = Annotated[bool, typer.Option("--force", "-f", help="Also where something would be lost.")]
"""Do it all the same."""

Limit = Annotated[int | None, typer.Option("--limit", "-n", min=1, metavar="N", help="At most so many.")]
"""How many."""
