"""Commands that find the first bad version."""

from __future__ import annotations

from typing import Annotated

import typer

from birdbone.cli.options import AsJson

bisect = typer.Typer(help="Find the first bad version by halves.", no_args_is_help=True, rich_markup_mode=None)

_Version = Annotated[
    str | None, typer.Argument(metavar="NAME", help="The version; the one that was to be tested unless given.")
]


@bisect.command("start")
def start(
    bad: Annotated[str, typer.Argument(metavar="BAD", help="A version with the fault.")],
    good: Annotated[list[str], typer.Argument(metavar="GOOD", help="Versions without it.")],
    as_json: AsJson = False,
) -> None:
    """Begin between a bad version and good ones."""
    from birdbone.cli.vault import halving
    from birdbone.cli.vault.work import open_store
    from birdbone.vault.history.bisect import start_bisection

    vault = open_store()
    halving.print_step(vault, start_bisection(vault, bad=bad, good=good), as_json=as_json)


@bisect.command("good")
def good(name: _Version = None, as_json: AsJson = False) -> None:
    """Say that a version is without the fault."""
    from birdbone.cli.vault import halving
    from birdbone.cli.vault.work import open_store

    halving.mark(open_store(), "good", name, as_json=as_json)


@bisect.command("bad")
def bad(name: _Version = None, as_json: AsJson = False) -> None:
    """Say that a version has the fault."""
    from birdbone.cli.vault import halving
    from birdbone.cli.vault.work import open_store

    halving.mark(open_store(), "bad", name, as_json=as_json)


@bisect.command("skip")
def skip(name: _Version = None, as_json: AsJson = False) -> None:
    """Say that a version cannot be tested."""
    from birdbone.cli.vault import halving
    from birdbone.cli.vault.work import open_store

    halving.mark(open_store(), "skip", name, as_json=as_json)


@bisect.command("run", context_settings={"ignore_unknown_options": True, "allow_interspersed_args": False})
def run(
    command: Annotated[
        list[str], typer.Argument(metavar="COMMAND...", help="Program and its words; `{}` is the version's folder.")
    ],
    as_json: AsJson = False,
) -> None:
    """Test each version by a program: 0 good, 125 skip, else bad.

    Each version is checked out to a folder for the moment; its path stands where `{}` does in COMMAND, else at the end.
    An exit code above 127 stops.
    """
    from birdbone.cli.vault import halving
    from birdbone.cli.vault.work import open_store

    vault = open_store()
    halving.print_step(vault, halving.run_tests(vault, command), as_json=as_json)


@bisect.command("status")
def status(as_json: AsJson = False) -> None:
    """Say what to test next."""
    from birdbone.cli.vault import halving
    from birdbone.cli.vault.work import open_store
    from birdbone.vault.history.bisect import describe_bisection

    vault = open_store()
    halving.print_step(vault, describe_bisection(vault), as_json=as_json)


@bisect.command("reset")
def reset(as_json: AsJson = False) -> None:
    """Forget what was said of versions."""
    from birdbone.cli import output
    from birdbone.cli.vault.work import open_store
    from birdbone.vault.history.bisect import reset_bisection

    reset_bisection(open_store())
    output.print_json({"is_under_way": False}) if as_json else output.talk("no bisection is under way")
