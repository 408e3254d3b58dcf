"""Checks of a model by itself: whether it is steady, takes what it should, and is the same in two engines.

Owns: the checks that `birdbone eval test` runs on any `Judge`, their results, mutations of text, generated items.
Needs: `core`, the `Judge` of `benchmarks`, numpy, psutil. No torch: what computes is the judge.
"""

from birdbone.evaluate.checks.choices import Choice, ChoiceItem, ask_choices
from birdbone.evaluate.checks.findings import CheckOutcome, CheckResult
from birdbone.evaluate.checks.generated import Template, generate_items
from birdbone.evaluate.checks.running import Extent, run_checks

__all__ = [
    "CheckOutcome",
    "CheckResult",
    "Choice",
    "ChoiceItem",
    "Extent",
    "Template",
    "ask_choices",
    "generate_items",
    "run_checks",
]
