"""All commands that judge a model, in the order in which help lists them."""

from __future__ import annotations

import typer

from birdbone.cli.evaluate.benchmarks import compare, list_benchmarks, run
from birdbone.cli.evaluate.checks import check
from birdbone.cli.evaluate.tasks import check_task

evaluate = typer.Typer(
    help="Judge a model by benchmarks and checks, in the engine that runs it.",
    no_args_is_help=True,
    rich_markup_mode=None,
)

evaluate.command()(run)
evaluate.command()(compare)
evaluate.command("test")(check)
evaluate.command("list")(list_benchmarks)
evaluate.command("check-task")(check_task)
