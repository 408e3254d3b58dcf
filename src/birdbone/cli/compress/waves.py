"""The commands `birdbone waves`: see the waves of a run, and hold, let through or end them while it works."""

from __future__ import annotations

from typing import Annotated

import typer

from birdbone.cli.options import AsJson, LatestRun, RunName

waves = typer.Typer(
    help="See the waves of a run, and hold, let through or end them while it works.",
    no_args_is_help=True,
    rich_markup_mode=None,
)

Author = Annotated[str | None, typer.Option(help="Who asks; the name of your account unless given.")]


@waves.command()
def show(
    run: LatestRun = "latest",
    as_csv: Annotated[bool, typer.Option("--csv", help="Print one line of CSV for each wave.")] = False,
    as_json: AsJson = False,
) -> None:
    """Show each wave, what it cost, and what comes next."""
    from birdbone.cli import output
    from birdbone.cli.compress import wave_tables

    told = wave_tables.read(run)
    if as_json:
        output.print_json(wave_tables.as_data(told))
    elif as_csv:
        output.print_line(wave_tables.as_csv(told).rstrip("\n"))
    else:
        output.print_table(wave_tables.table(told), *wave_tables.closing_lines(told))


@waves.command()
def pause(run: RunName, author: Author = None, as_json: AsJson = False) -> None:
    """Hold a run before its next wave. The wave in hand is finished first."""
    from birdbone.cli.compress import wave_tables

    wave_tables.ask(run, "pause", author, as_json=as_json)


@waves.command()
def step(run: RunName, author: Author = None, as_json: AsJson = False) -> None:
    """Let one wave through, and hold the run again."""
    from birdbone.cli.compress import wave_tables

    wave_tables.ask(run, "step", author, as_json=as_json)


@waves.command()
def resume(run: RunName, author: Author = None, as_json: AsJson = False) -> None:
    """Let the waves of a held run go on."""
    from birdbone.cli.compress import wave_tables

    wave_tables.ask(run, "resume", author, as_json=as_json)


@waves.command()
def stop(run: RunName, author: Author = None, as_json: AsJson = False) -> None:
    """Make no other wave. The run goes on with its last good state; it cannot be taken back."""
    from birdbone.cli.compress import wave_tables

    wave_tables.ask(run, "stop", author, as_json=as_json)
