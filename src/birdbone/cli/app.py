"""All commands and the options that stand before them: `birdbone [--debug] [--verbose] COMMAND`."""

from __future__ import annotations

from typing import Annotated

import typer

import birdbone
from birdbone.cli.compress import compress
from birdbone.cli.compress.waves import waves
from birdbone.cli.edge import VERBOSE, Door, prepare_process
from birdbone.cli.evaluate import evaluate
from birdbone.cli.housekeeping import clean, config, init, validate
from birdbone.cli.late import late
from birdbone.cli.running import cite, compare, phases, run
from birdbone.cli.seeing import logs, monitor, status
from birdbone.cli.taking import export
from birdbone.cli.vault import vault
from birdbone.cli.versions import model, models

EXIT_CODES = (
    "Exit codes: 0 done, 1 internal, 2 invalid, 3 not_found, 4 conflict, 5 denied, 6 unavailable, 130 cancelled. "
    "Data goes to standard output, talk to standard error."
)

app = typer.Typer(
    cls=Door,
    name="birdbone",
    help="Make a language model light, with evidence that it is still good.",
    epilog=EXIT_CODES,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,  # Rich's help costs half of what `--help` may take
    context_settings={"help_option_names": ["--help", "-h"]},
)

_COMMANDS = (
    *(init, run, phases, status, logs, monitor, compare, cite),
    *(models, model, export, clean, config, validate),
)
for _command in _COMMANDS:
    app.command()(_command)
app.add_typer(late(compress), name="compress")
app.add_typer(late(evaluate), name="eval")
app.add_typer(late(vault), name="vault")
app.add_typer(late(waves), name="waves")


def _print_version(is_asked: bool) -> None:
    if is_asked:
        typer.echo(f"birdbone {birdbone.__version__}")
        raise typer.Exit


@app.callback()
def set_out(
    context: typer.Context,
    debug: Annotated[bool, typer.Option("--debug", help="Show the stack trace of an error.")] = False,  # noqa: ARG001
    verbose: Annotated[bool, typer.Option("--verbose", help="Tell each part of a step.")] = False,
    version: Annotated[  # noqa: ARG001
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """Take the options that hold for every command."""
    context.meta[VERBOSE] = verbose


def main() -> None:
    """Run the command line: the entry point of `birdbone`."""
    prepare_process()
    app()
