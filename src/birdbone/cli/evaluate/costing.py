"""What `eval cost` does and prints."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.table import Table

from birdbone.cli.errors import UsageError
from birdbone.cli.evaluate.bars import question_bar
from birdbone.cli.evaluate.choices import one_of
from birdbone.cli.output import new_table, talk
from birdbone.evaluate.benchmarks.opening import Dtype, Engine, find_candidate
from birdbone.evaluate.cost import CostComparison, CostPlan, CostReport
from birdbone.evaluate.cost.comparison import compare_costs
from birdbone.evaluate.cost.measuring import measure_costs
from birdbone.pipeline.report.cost_page import cost_data, write_cost_report
from birdbone.pipeline.report.cost_words import label_words, ratio_words, setting_words
from birdbone.pipeline.report.wording import figure_words, interval_words
from birdbone.watch import choose_num_threads

_NUM_OPERATORS = 6
_OF_BOUNDS = ("_intensity", "_bandwidth_share", "_matmul_share")
_NUM_LOADS = 3  # each starts a process, which takes some seconds


@dataclass(frozen=True, slots=True, kw_only=True)
class Costs:
    """What was measured: one report a model, and the second and later models beside the first."""

    reports: tuple[CostReport, ...]
    comparisons: tuple[CostComparison, ...]


def plan_of(prompt_tokens: str, *, new_tokens: int, repeats: int) -> CostPlan:
    """Return the plan that a person asked for.

    Args:
        prompt_tokens: whole numbers with commas between them.

    Raises:
        UsageError: something else.
        BadCostPlanError: a number below 1, or one that is named twice.
    """
    words = prompt_tokens.split(",")
    if not all(word.strip().isdecimal() for word in words):
        raise UsageError(f"--prompt-tokens takes whole numbers, such as 32,128; {prompt_tokens!r} came.")
    return CostPlan(
        prompt_tokens=tuple(int(word) for word in words),
        new_tokens=new_tokens,
        repeats=repeats,
        num_loads=min(_NUM_LOADS, repeats),
    )


def measure(models: Sequence[str], plan: CostPlan, *, engine: str | None, dtype: str, num_threads: int | None) -> Costs:
    """Return the cost of each model; several are measured in turns.

    Raises:
        UsageError: an engine or a format that there is not.
        ModelError, EvaluateError: a model, or its measuring.
    """
    chosen = one_of(engine, Engine, "--engine") if engine is not None else None
    candidates = [find_candidate(model, engine=chosen, dtype=one_of(dtype, Dtype, "--dtype")) for model in models]
    threads = num_threads or choose_num_threads()
    names = ", ".join(f"{candidate.name} in {candidate.engine}" for candidate in candidates)
    talk(f"{names}, {threads} thread(s)")
    with question_bar("cost") as tell:
        reports = measure_costs(
            candidates, num_threads=threads, plan=plan, told=tell if tell is not None else lambda _done, _total: None
        )
    return Costs(reports=reports, comparisons=tuple(compare_costs(report, reports[0]) for report in reports[1:]))


def write(folder: Path, found: Costs) -> tuple[Path, Path]:
    """Write the page and the data, and return their paths."""
    return write_cost_report(folder, found.reports, found.comparisons)


def as_json(found: Costs) -> dict[str, Any]:
    """Return everything as plain data."""
    return cost_data(found.reports, found.comparisons)


def tables(found: Costs) -> Iterator[Table]:
    """Yield the figures of each model, what bounds it and its dearest operators, then each comparison."""
    for report in found.reports:
        yield figures_table(report)
        yield bounds_table(report)
        if report.profiles:
            yield operators_table(report)
    for comparison in found.comparisons:
        yield comparison_table(comparison)


def figures_table(report: CostReport) -> Table:
    """Return the figures of a model as a table; what was not measured says so. Those of `bounds_table` are left out."""
    rows: list[tuple[str, str, str, str]] = [
        (label_words(figure.name), figure_words(figure), interval_words(figure), figure.basis)
        for figure in report.measurements
        if not figure.name.partition(".")[0].endswith(_OF_BOUNDS)
    ]
    rows += [(label_words(name), f"not measured: {reason}", "", "") for name, reason in report.not_measured.items()]
    title = f"{report.model}: {setting_words(report)}"
    return new_table(("figure", "value", "95 % interval", "basis"), rows, title=title)


def bounds_table(report: CostReport) -> Table:
    """Return how much of the machine each phase uses, all of it estimated from counts over measured times."""
    rows = [
        (
            bound.phase,
            f"{bound.intensity:.2f}",
            f"{100 * bound.bandwidth_share:.1f} %",
            f"{100 * bound.matmul_share:.1f} %",
            bound.bound,
        )
        for bound in report.bounds
    ]
    columns = ("phase", "FLOP/byte", "of the bandwidth", "of the arithmetic", "bounded by")
    return new_table(columns, rows, title=f"{report.model}: what holds it back")


def operators_table(report: CostReport) -> Table:
    """Return where the time of each phase goes, the dearest operators first."""
    rows = [
        (phase, operator.name, f"{100 * operator.share:.1f} %", f"{operator.num_calls:,}")
        for phase, profile in report.profiles.items()
        for operator in profile.operators[:_NUM_OPERATORS]
    ]
    title = f"{report.model}: where the time goes, by torch's profiler"
    return new_table(("phase", "operator", "self time", "calls"), rows, title=title)


def comparison_table(comparison: CostComparison) -> Table:
    """Return a candidate beside its baseline as a table."""
    rows = [
        (label_words(row.name), figure_words(row.baseline), figure_words(row.candidate), ratio_words(row))
        for row in comparison.ratios
    ]
    title = f"{comparison.candidate} over {comparison.baseline}, in turns"
    return new_table(("figure", "baseline", "candidate", "ratio [95 %]"), rows, title=title)
