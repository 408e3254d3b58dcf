"""Commands on other places that hold the same versions: name them, send to them, fetch from them, heal from them."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from birdbone.cli.options import AsJson
from birdbone.cli.vault.options import Author

remote = typer.Typer(help="Name other places that hold a vault.", no_args_is_help=True, rich_markup_mode=None)

_Remote = Annotated[str, typer.Argument(metavar="REMOTE", help="A remote's name, a URL or a folder.")]
_Url = Annotated[
    str, typer.Argument(metavar="URL", help="A folder, or s3://, gs://, az:// with credentials from the environment.")
]


@remote.command("add")
def add(
    name: Annotated[str, typer.Argument(metavar="NAME", help="What to call it: origin is what others begin from.")],
    url: _Url,
    as_json: AsJson = False,
) -> None:
    """Give a place a name; nothing is asked of it."""
    from birdbone.cli import output
    from birdbone.cli.vault import sending
    from birdbone.cli.vault.work import open_store
    from birdbone.vault.remotes import add_remote

    kept = add_remote(open_store(), name, sending.store_at(url))
    output.print_json({name: kept}) if as_json else output.print_line(f"{name} is {kept}")


@remote.command("list")
def list_(as_json: AsJson = False) -> None:
    """List the remotes."""
    from birdbone.cli import output
    from birdbone.cli.vault.work import open_store
    from birdbone.vault.remotes import list_remotes

    found = list_remotes(open_store())
    if as_json:
        output.print_json(found)
    elif found:
        output.print_line("\n".join(f"{name}  {url}" for name, url in found.items()))
    else:
        output.talk("no remote yet")


@remote.command("remove")
def remove(name: Annotated[str, typer.Argument(metavar="NAME", help="The remote.")], as_json: AsJson = False) -> None:
    """Forget a remote; what lies there stays."""
    from birdbone.cli import output
    from birdbone.cli.vault.work import open_store
    from birdbone.vault.remotes import list_remotes, remove_remote

    vault = open_store()
    remove_remote(vault, name)
    if as_json:
        output.print_json(list_remotes(vault))
    else:
        output.print_line(f"forgot {name}; what lies there is as it was")


def push(
    to: _Remote = "origin",
    names: Annotated[
        list[str] | None, typer.Argument(metavar="REF", help="Branches and tags; this branch unless given.")
    ] = None,
    force: Annotated[
        bool, typer.Option("--force", "-f", help="Also if the remote's branch has versions that yours lacks.")
    ] = False,
    author: Author = None,
    as_json: AsJson = False,
) -> None:
    """Send what a remote lacks, then move its refs."""
    from birdbone.cli import output
    from birdbone.cli.vault import sending

    done = sending.push_to(to, names or (), force=force, author=author)
    output.print_json(done.to_dict()) if as_json else output.print_line("\n".join(done.lines()))


def fetch(
    from_: _Remote = "origin",
    prune: Annotated[bool, typer.Option("--prune", help="Forget branches that the remote has no more.")] = False,
    as_json: AsJson = False,
) -> None:
    """Bring what a remote has; no branch of yours moves."""
    from birdbone.cli import output
    from birdbone.cli.vault import sending

    done = sending.fetch_from(from_, prune=prune)
    output.print_json(done.to_dict()) if as_json else output.print_line("\n".join(done.lines()))


def pull(from_: _Remote = "origin", author: Author = None, as_json: AsJson = False) -> None:
    """Fetch, and let this branch and its files follow."""
    from birdbone.cli import output
    from birdbone.cli.vault import sending

    done = sending.pull_from(from_, author=author)
    output.print_json(done.to_dict()) if as_json else output.print_line("\n".join(done.lines()))


def clone(
    url: _Url,
    folder: Annotated[Path, typer.Argument(metavar="FOLDER", help="A new folder, or an empty one.")],
    as_json: AsJson = False,
) -> None:
    """Copy a vault and check out its branch."""
    from birdbone.cli import output
    from birdbone.cli.vault import sending

    done = sending.clone_into(url, folder)
    output.print_json(done.to_dict()) if as_json else output.print_line("\n".join(done.lines()))


def heal(
    remotes: Annotated[
        list[str] | None, typer.Argument(metavar="REMOTE", help="Where from, in this order; all unless given.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Fetch what is damaged here; 1 if some stays so."""
    from birdbone.cli import output
    from birdbone.cli.vault import sending

    done = sending.heal_from(remotes)
    output.print_json(done.to_dict()) if as_json else output.print_line("\n".join(done.lines()))
    if not done.data["is_whole"]:
        raise typer.Exit(1)
