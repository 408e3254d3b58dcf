"""Commands about gates: judge a candidate by a file of rules, and let through what failed in a run."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from birdbone.cli.evaluate import options
from birdbone.cli.options import AsJson, RunName


def gate(
    candidate: Annotated[str, typer.Argument(metavar="CANDIDATE", help="The model that is to pass.")],
    baseline: Annotated[str, typer.Argument(metavar="BASELINE", help="The model that it is compared with.")],
    rules: Annotated[Path, typer.Option(metavar="FILE", help="YAML with the rules.")],
    environment: Annotated[
        str | None, typer.Option("--environment", "-e", metavar="NAME", help="Which named set of gates.")
    ] = None,
    stage: Annotated[str | None, typer.Option(help="Whose floor counts: `waves`, `quantize` or `judge`.")] = None,
    first: Annotated[
        str | None, typer.Option(metavar="MODEL", help="What cumulative rules compare with; BASELINE unless given.")
    ] = None,
    suite: options.Suite = "quick",
    only: options.Only = None,
    limit: options.Limit = None,
    items: options.Items = None,
    text: Annotated[str, typer.Option(help="Text for perplexity: `bundled`, a file, a folder, a hub dataset.")] = (
        "bundled"
    ),
    window: Annotated[int, typer.Option(min=2, help="Tokens a window.")] = 512,
    windows: Annotated[int, typer.Option(min=1, help="Windows of held-out text.")] = 32,
    engine: options.EngineName = None,
    dtype: options.DtypeName = "auto",
    threads: options.Threads = None,
    recipe: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Recipe whose settings the recommendation is to change.")
    ] = None,
    markdown: Annotated[Path | None, typer.Option(metavar="FILE", help="Write the verdict as Markdown too.")] = None,
    as_json: AsJson = False,
) -> None:
    """Judge a candidate by rules; ends with 1 if one fails."""
    from birdbone.cli import output
    from birdbone.cli.evaluate import asking, gating

    asked = asking.Asked(suite=suite, only=tuple(only or ()), limit=limit, items=items)
    request = gating.Request(
        candidate=candidate,
        baseline=baseline,
        first=first,
        rules=rules,
        environment=environment,
        stage=stage,
        text=text,
        window=window,
        num_windows=windows,
        recipe=recipe,
        asked=asked,
        on=asking.On(engine=engine, dtype=dtype, threads=threads),
    )
    judged = gating.judge_models(request)
    if markdown is not None:
        gating.write_markdown(judged, markdown)
    if as_json:
        output.print_json(judged.plain())
    else:
        output.print_table(gating.verdict_table(judged), *gating.footer(judged))
    if judged.verdict.outcome == "fail":
        raise typer.Exit(1)


def override(
    run: RunName,
    rule: Annotated[str, typer.Option(metavar="NAME", help="The rule that failed, such as `perplexity_ratio`.")],
    reason: Annotated[str, typer.Option(metavar="TEXT", help="Why it may pass all the same.")],
    by: Annotated[
        str | None, typer.Option("--by", metavar="WHO", help="Who decides; the name of the account unless given.")
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only check that there is such a rule.")] = False,
    as_json: AsJson = False,
) -> None:
    """Let a failed rule of a run through, with a reason."""
    from dataclasses import asdict

    from birdbone.cli import output
    from birdbone.core import find_workspace
    from birdbone.pipeline.overriding import override_rule

    written = override_rule(find_workspace(), run, rule=rule, reason=reason, author=by, is_dry_run=dry_run)
    if as_json:
        output.print_json(None if written is None else asdict(written))
    else:
        output.print_line(f"would override {rule}" if written is None else written.words)
