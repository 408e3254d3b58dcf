"""Commands that try a candidate on a ref of its own before a branch follows."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from birdbone.cli.options import AsJson
from birdbone.cli.vault.options import Author, DryRun

canary = typer.Typer(
    help="Try a version on a ref of its own before a branch follows.", no_args_is_help=True, rich_markup_mode=None
)

_Name = Annotated[str, typer.Argument(metavar="NAME", help="The trial.")]


@canary.command("start")
def start(
    name: Annotated[str, typer.Argument(metavar="NAME", help="What to call the trial; its ref is canary/NAME.")],
    candidate: Annotated[str, typer.Argument(metavar="CANDIDATE", help="The version to try; it follows the branch.")],
    observations: Annotated[
        int, typer.Option(metavar="N", min=1, help="How many judged observations decide.", show_default=False)
    ],
    ref: Annotated[str, typer.Option(metavar="REF", help="The branch that is to follow.")] = "main",
    rules: Annotated[
        str | None,
        typer.Option(metavar="FILE", help="Judge by these rules; unless given, by built-in ones that fit the figures."),
    ] = None,
    rule: Annotated[list[str] | None, typer.Option(metavar="RULE", help="Only by this rule; may be repeated.")] = None,
    max_failures: Annotated[int, typer.Option(metavar="K", min=0, help="How many of them may be bad.")] = 0,
    author: Author = None,
    as_json: AsJson = False,
) -> None:
    """Begin a trial; the branch stays where it is."""
    from birdbone.cli import output
    from birdbone.cli.vault import trying

    request = trying.Request(
        name=name,
        candidate=candidate,
        ref=ref,
        rules=rules,
        only=tuple(rule or ()),
        num_observations=observations,
        max_failures=max_failures,
        author=author,
    )
    begun = trying.start(request)
    output.print_json(begun.to_dict()) if as_json else output.print_line("\n".join(begun.lines()))


@canary.command("observe")
def observe(
    name: _Name,
    measurements: Annotated[
        Path,
        typer.Option("--measurements", "--figures", metavar="FILE", help="Figures taken on it: a JSON list."),
    ],
    settle: Annotated[bool, typer.Option("--settle", help="Act at once if that decides it.")] = False,
    author: Author = None,
    as_json: AsJson = False,
) -> None:
    """Judge one more observation of the candidate."""
    from birdbone.cli import output
    from birdbone.cli.vault import trying

    seen = trying.observe(name, measurements, settles=settle, author=author)
    output.print_json(seen.to_dict()) if as_json else output.print_line("\n".join(seen.lines()))
    if seen.is_rolled_back:
        raise typer.Exit(1)


@canary.command("settle")
def settle(name: _Name, author: Author = None, dry_run: DryRun = False, as_json: AsJson = False) -> None:
    """Promote or roll back; exit code 1 if rolled back."""
    from birdbone.cli import output
    from birdbone.cli.vault import trying

    settled = trying.settle(name, author=author, is_dry_run=dry_run)
    output.print_json(settled.to_dict()) if as_json else output.print_line("\n".join(settled.lines()))
    if settled.is_rolled_back:
        raise typer.Exit(1)


@canary.command("show")
def show(name: _Name, as_json: AsJson = False) -> None:
    """Show a trial with all its observations."""
    from birdbone.cli import output
    from birdbone.cli.vault import trying

    found = trying.show(name)
    if as_json:
        output.print_json(trying.canary_json(found))
    else:
        output.print_line("\n".join(trying.canary_lines(found)))


@canary.command("list")
def list_(as_json: AsJson = False) -> None:
    """List the trials, and what became of them."""
    from birdbone.cli import output
    from birdbone.cli.vault import trying

    found = trying.find_all()
    if as_json:
        output.print_json([trying.canary_json(each) for each in found])
    elif found:
        output.print_line("\n".join(map(trying.canary_line, found)))
    else:
        output.talk("no canary yet")
