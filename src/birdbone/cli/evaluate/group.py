"""All commands that judge a model, in the order in which help lists them."""

from __future__ import annotations

import typer

from birdbone.cli.evaluate.audits import fairness, safety
from birdbone.cli.evaluate.benchmarks import compare, list_benchmarks, run
from birdbone.cli.evaluate.checks import check
from birdbone.cli.evaluate.costs import cost
from birdbone.cli.evaluate.gates import gate, override
from birdbone.cli.evaluate.records import board, export, history
from birdbone.cli.evaluate.tasks import check_task
from birdbone.cli.evaluate.watch import watch

evaluate = typer.Typer(
    help="Judge a model: what it can, what it costs, how it behaves, and whether it may pass.",
    no_args_is_help=True,
    rich_markup_mode=None,
)

evaluate.command()(run)
evaluate.command()(compare)
evaluate.command("list")(list_benchmarks)
evaluate.command("check-task")(check_task)
evaluate.command("test")(check)
evaluate.command()(cost)
evaluate.command()(fairness)
evaluate.command()(safety)
evaluate.command()(gate)
evaluate.command()(override)
evaluate.command()(watch)
evaluate.command()(history)
evaluate.command()(board)
evaluate.command()(export)
