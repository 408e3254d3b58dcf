"""What `eval test` does and prints."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack

from rich.table import Table

from birdbone.cli.evaluate.bars import question_bar
from birdbone.cli.evaluate.choices import one_of
from birdbone.cli.output import new_table
from birdbone.evaluate.benchmarks.opening import Engine, find_candidate, open_judge
from birdbone.evaluate.checks import CheckResult, run_checks
from birdbone.watch import choose_num_threads


def check_model(
    model: str, *, engine: str | None, against: str | None, seed: int, num_threads: int | None
) -> list[CheckResult]:
    """Return what each check of a model by itself found; `against` is the same model in another engine or form.

    Raises:
        UsageError: an engine that there is not.
        ModelError: there is no such model.
    """
    chosen = one_of(engine, Engine, "--engine") if engine is not None else None
    threads = num_threads or choose_num_threads()
    with ExitStack() as stack:
        judge, *others = (
            stack.enter_context(
                open_judge(find_candidate(spec, engine=chosen if spec == model else None), num_threads=threads)
            )
            for spec in (model, *([against] if against is not None else []))
        )
        tell = stack.enter_context(question_bar("checks"))
        return run_checks(
            judge,
            seed=seed,
            other=others[0] if others else None,
            told=(lambda _, done, total: tell(done, total)) if tell is not None else (lambda *_: None),
        )


def checks_table(found: Sequence[CheckResult]) -> Table:
    """Return the findings of checks as a table."""
    return new_table(("check", "outcome", "reason"), [(row.name, row.outcome, row.reason) for row in found])
