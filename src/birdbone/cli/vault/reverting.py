"""Commands that undo what a version changed: at once, at a time, on a condition, or as rules decide."""

from __future__ import annotations

import datetime as dt
from typing import Annotated

import typer

from birdbone.cli.options import AsJson
from birdbone.cli.vault.options import Author, DryRun, Message

reverts = typer.Typer(
    help="See and answer reverts that wait for a time, a rule or a person.", no_args_is_help=True, rich_markup_mode=None
)


def revert(
    name: Annotated[
        str | None, typer.Argument(metavar="NAME", help="The version to undo, or A..B; later changes stay.")
    ] = None,
    to: Annotated[str | None, typer.Option(metavar="NAME", help="Bring back this version instead.")] = None,
    tensor: Annotated[list[str] | None, typer.Option(metavar="PATTERN", help="Only these tensors.")] = None,
    layer: Annotated[list[str] | None, typer.Option(metavar="N", help="Only these layers: 3 or 4-7.")] = None,
    expert: Annotated[list[str] | None, typer.Option(metavar="N", help="Only these experts.")] = None,
    file: Annotated[list[str] | None, typer.Option(metavar="PATTERN", help="Only these files beside weights.")] = None,
    mask_only: Annotated[
        str | None,
        typer.Option(metavar="WHICH", help="`values`: give back what was zeroed; `zeros`: zero again what was zero."),
    ] = None,
    on_conflict: Annotated[
        str, typer.Option(metavar="HOW", help="Where a later version changed it too: refuse, keep or take.")
    ] = "refuse",
    on: Annotated[str, typer.Option(metavar="REF", help="The branch to revert on.")] = "HEAD",
    auto: Annotated[
        str | None, typer.Option(metavar="RULES", help="Let rules decide: a YAML file, or `default`.")
    ] = None,
    at: Annotated[dt.datetime | None, typer.Option(metavar="TIME", help="Not now but then (this machine's time).")] = (
        None
    ),
    when: Annotated[str | None, typer.Option(metavar="RULE", help="Not now but once this rule fires.")] = None,
    rules: Annotated[
        str | None,
        typer.Option(metavar="FILE", help="Where the rule of --when stands; else a built-in one."),
    ] = None,
    message: Message = None,
    author: Author = None,
    dry_run: DryRun = False,
    as_json: AsJson = False,
) -> None:
    """Undo a version as a new one; exit code 1 on conflicts."""
    from birdbone.cli import output
    from birdbone.cli.vault import undoing

    choice = undoing.Choice(
        undo=name,
        to=to,
        tensors=tuple(tensor or ()),
        layers=tuple(layer or ()),
        experts=tuple(expert or ()),
        files=tuple(file or ()),
        only_mask=mask_only,
        on_conflict=on_conflict,
    )
    request = undoing.Request(
        choice=choice, ref=on, auto=auto, at=at, when=when, rules=rules, message=message or "", author=author
    )
    done = undoing.undo(request, is_dry_run=dry_run)
    output.print_json(done.to_dict()) if as_json else output.print_line("\n".join(done.lines()))
    if done.conflicts:
        raise typer.Exit(1)


@reverts.command("list")
def list_(as_json: AsJson = False) -> None:
    """List what waits, and what became of it."""
    from birdbone.cli import output
    from birdbone.cli.vault import undoing
    from birdbone.cli.vault.work import open_store

    found = undoing.waiting(open_store())
    if as_json:
        output.print_json(found)
    elif lines := undoing.waiting_lines(found):
        output.print_line("\n".join(lines))
    else:
        output.talk("nothing waits")


@reverts.command("run")
def run(as_json: AsJson = False) -> None:
    """Carry out what is due."""
    from birdbone.cli import output
    from birdbone.cli.vault import undoing

    done, news = undoing.run_due()
    if as_json:
        output.print_json(done)
    elif done:
        output.print_line("\n".join(undoing.waiting_lines({"scheduled": done, "decisions": []})))
    else:
        output.talk("nothing is due")
    if news:
        output.talk(news)


@reverts.command("answer")
def answer(
    decision: Annotated[str, typer.Argument(metavar="DECISION", help="Its id, or its first six digits.")],
    word: Annotated[str, typer.Argument(metavar="ANSWER", help="approve or deny")],
    message: Annotated[str, typer.Option("--message", "-m", metavar="TEXT", help="Why.")],
    author: Author = None,
    as_json: AsJson = False,
) -> None:
    """Say yes or no to a revert that rules ask for."""
    from birdbone.cli import output
    from birdbone.cli.vault import undoing
    from birdbone.cli.vault.work import open_store

    found = undoing.answer(open_store(), decision, word, reason=message, by=author)
    if as_json:
        output.print_json({"id": found, "answer": word})
    else:
        output.print_line(f"{word}: {found[3:13]}; `birdbone vault revert --auto RULES` acts on it")


@reverts.command("cancel")
def cancel(
    revert_id: Annotated[str, typer.Argument(metavar="REVERT", help="Its id, or its first six digits.")],
    message: Annotated[str, typer.Option("--message", "-m", metavar="TEXT", help="Why.")] = "cancelled",
    author: Author = None,
    as_json: AsJson = False,
) -> None:
    """Take back a revert that waits for a time or a rule."""
    from birdbone.cli import output
    from birdbone.cli.vault import undoing
    from birdbone.cli.vault.work import open_store

    found = undoing.cancel(open_store(), revert_id, reason=message, by=author)
    output.print_json({"id": found, "state": "cancelled"}) if as_json else output.print_line(f"cancelled {found[3:13]}")
