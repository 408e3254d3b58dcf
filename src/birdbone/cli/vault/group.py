"""All commands of the vault, in the order in which help lists them."""

from __future__ import annotations

import typer

from birdbone.cli.vault.bisecting import bisect
from birdbone.cli.vault.canaries import canary
from birdbone.cli.vault.diffing import diff
from birdbone.cli.vault.exchange import export, import_
from birdbone.cli.vault.hashing import hash_files
from birdbone.cli.vault.history import annotate, lineage, log, reflog, show
from birdbone.cli.vault.keeping import checkout, commit, init, status
from birdbone.cli.vault.merging import merge
from birdbone.cli.vault.noting import notes
from birdbone.cli.vault.querying import query, retention
from birdbone.cli.vault.refs import branch, grant, protect, switch, tag
from birdbone.cli.vault.remotes import clone, fetch, heal, pull, push, remote
from birdbone.cli.vault.reverting import revert, reverts
from birdbone.cli.vault.upkeep import fsck, gc, verify

vault = typer.Typer(
    help="Keep versions of models: diff, merge, undo, never silently wrong.",
    no_args_is_help=True,
    rich_markup_mode=None,
)

vault.command()(init)
vault.command()(status)
vault.command()(commit)
vault.command()(checkout)
vault.command()(log)
vault.command()(show)
vault.command()(diff)
vault.command()(annotate)
vault.command()(reflog)
vault.command()(lineage)
vault.command()(branch)
vault.command()(tag)
vault.command()(switch)
vault.command()(merge)
vault.command()(revert)
vault.add_typer(reverts, name="reverts")
vault.add_typer(canary, name="canary")
vault.add_typer(notes, name="notes")
vault.add_typer(bisect, name="bisect")
vault.command()(query)
vault.command()(retention)
vault.command()(protect)
vault.command()(grant)
vault.command()(verify)
vault.command()(fsck)
vault.command()(gc)
vault.command()(heal)
vault.add_typer(remote, name="remote")
vault.command()(push)
vault.command()(fetch)
vault.command()(pull)
vault.command()(clone)
vault.command("import")(import_)
vault.command()(export)
vault.command("hash")(hash_files)
