"""The command that takes a result out of the workspace."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from birdbone.cli.options import AsJson, RunName


def export(
    run: RunName,
    to: Annotated[
        Path | None, typer.Option(metavar="FOLDER", help="Where to; a folder named after the run unless given.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Copy what a run made out of the workspace."""
    from birdbone.cli import output
    from birdbone.core import find_workspace
    from birdbone.pipeline import service

    workspace = find_workspace()
    run_id = service.find_run(workspace, run).id
    made = [str(path) for path in service.export_run(workspace, run_id, to or Path(run_id))]
    output.print_json(made) if as_json else output.print_line("\n".join(made))
