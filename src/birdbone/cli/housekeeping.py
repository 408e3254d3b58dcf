"""Commands that keep a workspace in order: make it, set it, check the machine, clear away."""

from __future__ import annotations

from typing import Annotated

import typer

from birdbone.cli.options import AsJson


def init(as_json: AsJson = False) -> None:
    """Make a workspace in the current folder."""
    from birdbone.cli import output
    from birdbone.core import make_workspace

    workspace, is_new = make_workspace()
    output.talk("made a workspace" if is_new else "there is a workspace already")
    if as_json:
        output.print_json({"folder": str(workspace.folder), "is_new": is_new})
    else:
        output.print_line(str(workspace.folder))


def config(
    edit: Annotated[
        bool, typer.Option("--edit", help="Open the settings in $EDITOR; a wrong file is not taken.")
    ] = False,
    validate: Annotated[bool, typer.Option("--validate", help="Check the settings.")] = False,
    show: Annotated[
        bool, typer.Option("--show", help="Show every setting and where it comes from (the default).")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Show, check or edit the settings of the workspace."""
    from dataclasses import asdict

    from birdbone.cli import output, settings

    path = settings.config_path()
    if edit:
        settings.edit_config(path)
    found = settings.settings_of(path)
    if edit or validate:
        output.talk(f"{path} is right")
    if as_json:
        output.print_json({"path": str(path), "settings": [asdict(row) for row in found]})
    elif show or not (edit or validate):
        rows = [(row.name, "unset" if row.value is None else str(row.value), row.origin, row.help) for row in found]
        output.print_table(output.new_table(("setting", "value", "from", "meaning"), rows))


def validate(as_json: AsJson = False) -> None:
    """Check the machine; say how to mend faults."""
    from dataclasses import asdict
    from pathlib import Path

    from birdbone.cli import output
    from birdbone.pipeline.environment import check_environment

    checks = check_environment(Path.cwd())
    if as_json:
        output.print_json([asdict(check) for check in checks])
    else:
        rows = [(check.name, output.mark(check.health), check.found, check.fix) for check in checks]
        output.print_table(output.new_table(("what", "health", "found", "fix"), rows))
    if any(check.health == "fault" for check in checks):
        raise typer.Exit(2)


def clean(
    runs: Annotated[list[str] | None, typer.Argument(metavar="RUN", help="Runs to forget; none unless named.")] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would go, remove nothing.")] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    as_json: AsJson = False,
) -> None:
    """Forget runs, free what nothing needs."""
    from birdbone.cli import clearing, output
    from birdbone.core import find_workspace

    workspace = find_workspace()
    plan = clearing.clear(workspace, runs or [], is_dry_run=True)
    if not dry_run and clearing.is_agreed(plan, is_agreed_before=yes):
        plan = clearing.clear(workspace, runs or [], is_dry_run=False)
    if as_json:
        output.print_json(plan.to_dict())
    else:
        output.print_line(plan.in_words())
