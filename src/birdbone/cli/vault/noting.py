"""Commands on notes: words on a version after the fact."""

from __future__ import annotations

from typing import Annotated

import typer

from birdbone.cli.options import AsJson
from birdbone.cli.vault.options import Author

notes = typer.Typer(help="Write words on a version after the fact.", no_args_is_help=True, rich_markup_mode=None)


@notes.command("add")
def add(
    name: Annotated[str, typer.Argument(metavar="NAME", help="The version.")] = "HEAD",
    message: Annotated[str, typer.Option("--message", "-m", metavar="TEXT", help="What to say.")] = "",
    author: Author = None,
    as_json: AsJson = False,
) -> None:
    """Attach a note to a version; its id stays the same."""
    from birdbone.cli import output
    from birdbone.cli.vault.looking import check_has_version
    from birdbone.cli.vault.work import open_store
    from birdbone.vault.refs.notes import add_note

    vault = open_store()
    check_has_version(vault, name)
    note = add_note(vault, name, message, author=author)
    output.print_json({"id": note.id, **note.model_dump(mode="json")}) if as_json else output.print_line(note.id)


@notes.command("list")
def list_(
    name: Annotated[str | None, typer.Argument(metavar="NAME", help="The version; all versions unless given.")] = None,
    removed: Annotated[bool, typer.Option("--removed", help="Also those that were taken away.")] = False,
    as_json: AsJson = False,
) -> None:
    """List notes, oldest first."""
    from birdbone.cli import output
    from birdbone.cli.vault.telling import plain, short_digest
    from birdbone.cli.vault.work import open_store
    from birdbone.vault.refs.notes import list_notes

    found = list_notes(open_store(), name, with_removed=removed)
    if as_json:
        output.print_json([{"id": note.id, **note.model_dump(mode="json")} for note in found])
        return
    for note in found:
        about = f"removes {short_digest(note.removes)}: " if note.removes else ""
        first = plain(note.text.splitlines()[0])
        output.print_line(f"{short_digest(note.id)} on {short_digest(note.version)} by {note.author}: {about}{first}")
    if not found:
        output.talk("no note yet")


@notes.command("show")
def show(
    note_id: Annotated[str, typer.Argument(metavar="NOTE", help="A note's id, or its first six digits.")],
    as_json: AsJson = False,
) -> None:
    """Print one note whole."""
    from birdbone.cli import output
    from birdbone.cli.vault.telling import plain
    from birdbone.cli.vault.work import open_store
    from birdbone.vault.refs.notes import read_note

    note = read_note(open_store(), note_id)
    if as_json:
        output.print_json({"id": note.id, **note.model_dump(mode="json")})
    else:
        output.print_line("\n".join(map(plain, note.text.splitlines())))


@notes.command("remove")
def remove(
    note_id: Annotated[str, typer.Argument(metavar="NOTE", help="A note's id, or its first six digits.")],
    message: Annotated[str, typer.Option("--message", "-m", metavar="TEXT", help="Why.")] = "removed",
    author: Author = None,
    as_json: AsJson = False,
) -> None:
    """Take a note away; the log keeps that it was there."""
    from birdbone.cli import output
    from birdbone.cli.vault.work import open_store
    from birdbone.vault.refs.notes import remove_note

    tombstone = remove_note(open_store(), note_id, reason=message, author=author)
    if as_json:
        output.print_json({"id": tombstone.id, **tombstone.model_dump(mode="json")})
    else:
        output.print_line(f"removed {tombstone.removes}")
