"""Commands that work on recipes: run one, see what a recipe may say, compare and cite what was run."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from birdbone.cli.edge import VERBOSE
from birdbone.cli.options import AsJson, RunName


def run(
    context: typer.Context,
    recipe: Annotated[
        Path | None, typer.Argument(metavar="RECIPE", help="A recipe file; recipes/demo.yaml unless given.")
    ] = None,
    model: Annotated[
        str | None, typer.Option(help="`starter`, a folder, a .safetensors, a .gguf, or a hub id.")
    ] = None,
    data: Annotated[
        str | None, typer.Option(help="A .txt, .jsonl or .parquet, a folder of these, or a hub id.")
    ] = None,
    set_: Annotated[
        list[str] | None, typer.Option("--set", metavar="PATH=VALUE", help="Change one setting; may be repeated.")
    ] = None,
    phase: Annotated[str | None, typer.Option(metavar="KIND", help="Stop after the step of this kind.")] = None,
    resume: Annotated[
        str | None, typer.Option(metavar="RUN", help="Go on with this run (id, its beginning, or `latest`).")
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Check and print the whole recipe, do nothing.")] = False,
    as_json: AsJson = False,
) -> None:
    """Run a recipe, or go on with a run."""
    from birdbone.cli import execution, output, results
    from birdbone.core import write_yaml

    request = execution.Request(
        recipe=recipe, model=model, data=data, overrides=tuple(set_ or ()), until=phase, resume=resume
    )
    if dry_run:
        planned = execution.plan(request)
        execution.check_sources(planned)
        values = planned.model_dump(mode="json")
        output.print_json(values) if as_json else output.print_line(write_yaml(values).rstrip())
        return
    view = execution.carry_out(request, is_verbose=bool(context.meta.get(VERBOSE)))
    if as_json:
        output.print_json(results.result_data(view))
    else:
        output.print_table(results.result_table(view, num_columns=output.num_columns()), *results.footer(view))


def phases(
    kind: Annotated[str | None, typer.Argument(metavar="KIND", help="Only this kind, or `recipe`.")] = None,
    as_json: AsJson = False,
) -> None:
    """List the kinds of step with all their settings."""
    from birdbone.cli import output, settings_help

    kinds = settings_help.describe_kinds(kind)
    if as_json:
        output.print_json([entry.to_dict() for entry in kinds])
        return
    for entry in kinds:
        after = f" After {' and '.join(entry.needs)}." if entry.needs else ""
        output.print_line(f"{entry.kind}: {entry.help}{after}")
        rows = [(row.path, row.type, row.default, row.help) for row in entry.settings]
        if rows:
            output.print_table(output.new_table(("setting", "type", "default", "meaning"), rows))


def compare(
    a: Annotated[str, typer.Argument(metavar="A", help="A run.")],
    b: Annotated[str, typer.Argument(metavar="B", help="Another run.")],
    as_json: AsJson = False,
) -> None:
    """Put the figures of two runs side by side."""
    from birdbone.cli import comparison, output
    from birdbone.core import find_workspace
    from birdbone.pipeline import service

    workspace = find_workspace()
    first, second = service.view_run(workspace, a), service.view_run(workspace, b)
    figures = comparison.compare(first, second)
    if as_json:
        output.print_json({"a": first.run.id, "b": second.run.id, "figures": [row.to_dict() for row in figures]})
    else:
        output.print_table(comparison.comparison_table(figures, a=first.run.id, b=second.run.id))


def cite(run: RunName, as_json: AsJson = False) -> None:
    """Print BibTeX of the methods a run used."""
    from birdbone.cli import output
    from birdbone.core import find_workspace
    from birdbone.pipeline import citations, service

    found = citations.cite_run(service.view_run(find_workspace(), run))
    if as_json:
        output.print_json([entry.to_dict() for entry in found])
    else:
        output.print_line("\n\n".join(entry.bibtex for entry in found))
