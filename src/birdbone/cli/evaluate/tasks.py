"""The command that reads a task of one's own before a model is asked."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from birdbone.cli.options import AsJson


def check_task(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="A .yaml, or items as .jsonl or .csv.")],
    show: Annotated[int, typer.Option(min=0, help="Prompts to show, from the first.")] = 2,
    as_json: AsJson = False,
) -> None:
    """Read a task of your own and show its prompts."""
    from birdbone.cli import output
    from birdbone.cli.evaluate import previewing

    found = previewing.describe_task(file, num_shown=show)
    if as_json:
        output.print_json(found)
    else:
        output.print_table(previewing.task_table(found), *previewing.prompt_lines(found))
