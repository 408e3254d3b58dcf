"""Commands that look at runs: where they stand, what happened, what happens now."""

from __future__ import annotations

from typing import Annotated

import typer

from birdbone.cli.options import AsJson, AsJsonLines, LatestRun


def status(
    run: Annotated[str | None, typer.Argument(metavar="RUN", help="A run's id, its beginning, or `latest`.")] = None,
    as_json: AsJson = False,
) -> None:
    """List the runs, or show one step by step."""
    from birdbone.cli import output, results, timeline
    from birdbone.cli.attendance import processes_at_work
    from birdbone.core import find_workspace
    from birdbone.pipeline import service

    workspace = find_workspace()
    at_work = set(processes_at_work(workspace))
    names = [row.id for row in service.list_runs(workspace)] if run is None else [run]
    views = [service.view_run(workspace, name) for name in names]
    if as_json:
        data = [timeline.run_data(view, is_at_work=view.run.id in at_work) for view in views]
        output.print_json(data if run is None else data[0])
    elif run is None:
        output.print_table(timeline.runs_table(views, at_work))
    else:
        output.print_table(timeline.steps_table(views[0], is_at_work=views[0].run.id in at_work))
        output.print_table(results.result_table(views[0], num_columns=output.num_columns()), *results.footer(views[0]))


def logs(
    run: LatestRun = "latest",
    phase: Annotated[
        str | None, typer.Option(metavar="LABEL", help="Only this step (its label, such as wave-2) or kind of step.")
    ] = None,
    follow: Annotated[bool, typer.Option("--follow", help="Go on printing until the run has ended.")] = False,
    as_json: AsJsonLines = False,
) -> None:
    """Print what happened in a run, in order."""
    from birdbone.cli import following, output, words
    from birdbone.core import find_workspace
    from birdbone.pipeline import service

    workspace = find_workspace()
    run_id = service.find_run(workspace, run).id
    for event in following.events(workspace, run_id, phase=phase, is_following=follow):
        if as_json:
            output.print_json_line(following.event_data(event))
        else:
            output.print_line(f"{words.moment(event.at)}  {words.describe_event(event)}")


def monitor(
    run: LatestRun = "latest",
    once: Annotated[bool, typer.Option("--once", help="Show one picture and end.")] = False,
    as_json: AsJson = False,
) -> None:
    """Show a run and its process live, until it ends."""
    from rich.live import Live

    from birdbone.cli import following, output
    from birdbone.core import find_workspace
    from birdbone.pipeline import service

    workspace = find_workspace()
    watcher = following.Watcher(workspace=workspace, run_id=service.find_run(workspace, run).id)
    if as_json:
        output.print_json(watcher.look().to_dict())
    elif once:
        output.data_console().print(following.picture(watcher.look()))
    else:
        with Live(console=output.data_console(), auto_refresh=False) as live:
            for frame in watcher.frames():
                live.update(following.picture(frame), refresh=True)
