"""What `eval test` does and prints."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack

from rich.table import Table

from birdbone.cli.errors import UsageError
from birdbone.cli.evaluate.bars import question_bar
from birdbone.cli.evaluate.choices import one_of
from birdbone.cli.evaluate.damage import check_damage
from birdbone.cli.output import new_table
from birdbone.evaluate.benchmarks.opening import Engine, find_candidate, open_judge
from birdbone.evaluate.checks import CheckResult, run_checks
from birdbone.evaluate.damage import Tolerance
from birdbone.watch import choose_num_threads


def check_model(
    model: str,
    *,
    engine: str | None,
    against: str | None,
    tolerance_nats: float | None,
    seed: int,
    num_threads: int | None,
) -> list[CheckResult]:
    """Return what each check of a model by itself found, and beside a baseline whether it is damaged.

    Args:
        model: is checked.
        engine: that runs it; None is the usual for its kind.
        against: the baseline, or None.
        tolerance_nats: what a change may cost a token. None: both should be one model, so their tokens, likelihoods and
            answers have to agree as well.
        seed: of all that is drawn.
        num_threads: to compute on; None takes those that are free.

    Raises:
        UsageError: an engine that there is not, or a tolerance without a baseline.
        BadSettingError: the tolerance is not above 0.
        ModelError: there is no such model.
    """
    if tolerance_nats is not None and against is None:
        raise UsageError("--tolerance is what a change may cost: name the baseline by --against.")
    tolerance = Tolerance() if tolerance_nats is None else Tolerance(nats=tolerance_nats)
    chosen = one_of(engine, Engine, "--engine") if engine is not None else None
    threads = num_threads or choose_num_threads()
    with ExitStack() as stack:
        judge, *others = (
            stack.enter_context(
                open_judge(find_candidate(spec, engine=chosen if spec == model else None), num_threads=threads)
            )
            for spec in (model, *([against] if against is not None and tolerance_nats is None else []))
        )
        tell = stack.enter_context(question_bar("checks"))
        found = run_checks(
            judge,
            seed=seed,
            other=others[0] if others else None,
            told=(lambda _, done, total: tell(done, total)) if tell is not None else (lambda *_: None),
        )
    if against is not None:
        found += check_damage(model, against, tolerance=tolerance, seed=seed, num_threads=threads)
    return found


def checks_table(found: Sequence[CheckResult]) -> Table:
    """Return the findings of checks as a table."""
    return new_table(("check", "outcome", "reason"), [(row.name, row.outcome, row.reason) for row in found])
