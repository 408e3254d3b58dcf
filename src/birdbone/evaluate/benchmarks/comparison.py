"""Two models on the same items: what differs, how sure that is, and how much of what was known is kept."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from birdbone.evaluate.benchmarks.results import BenchmarkResult
from birdbone.evaluate.errors import UnpairedError
from birdbone.evaluate.statistics.equivalence import EquivalenceVerdict, accuracy_equivalence, mean_equivalence
from birdbone.evaluate.statistics.multiplicity import holm
from birdbone.evaluate.statistics.pairs import (
    Flips,
    PairedDifference,
    accuracy_difference,
    count_flips,
    mean_difference,
)
from birdbone.evaluate.statistics.retention import NotInformative, Retention, retention

MARGIN = 0.03
"""A candidate may lose so much of its accuracy, as a share of all items, and still count as no worse."""

_SEED = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class BenchmarkComparison:
    """A candidate beside a baseline on one benchmark."""

    benchmark: str
    baseline: float
    """Mean score."""
    candidate: float
    """Mean score."""
    difference: PairedDifference
    """Candidate less baseline, item by item."""
    flips: Flips | None
    """Answers that became right and wrong; None for graded scores."""
    retention: Retention | NotInformative
    """How much of what the baseline knows above a guess the candidate keeps."""
    no_worse: EquivalenceVerdict
    """Whether the candidate is no worse by more than `MARGIN`."""
    adjusted_p_value: float
    """Of the difference, after Holm over all benchmarks that were compared with it."""


def compare(candidate: Sequence[BenchmarkResult], baseline: Sequence[BenchmarkResult]) -> list[BenchmarkComparison]:
    """Return the comparison of each benchmark that both were asked, in the baseline's order.

    Raises:
        UnpairedError: a benchmark was asked of other items, or otherwise, of the two.
    """
    asked = {result.benchmark: result for result in candidate}
    pairs = [(asked[result.benchmark], result) for result in baseline if result.benchmark in asked]
    found = [_compare(ours, theirs) for ours, theirs in pairs]
    if not found:
        return []
    adjusted = holm([row.difference.p_value for row in found])
    return [replace(row, adjusted_p_value=float(p_value)) for row, p_value in zip(found, adjusted, strict=True)]


def _compare(candidate: BenchmarkResult, baseline: BenchmarkResult) -> BenchmarkComparison:
    _require_alike(candidate, baseline)
    ours, theirs = ([item.score for item in result.items] for result in (candidate, baseline))
    is_graded = any(score not in (0, 1) for score in (*ours, *theirs))
    flips = None if is_graded else count_flips(ours, theirs)
    if flips is None:
        difference = mean_difference(ours, theirs, seed=_SEED)
        kept: Retention | NotInformative = NotInformative(
            reason="graded scores: look at the difference", num_items=len(ours)
        )
        verdict = mean_equivalence(ours, theirs, margin=MARGIN, seed=_SEED).verdict
    else:
        difference = accuracy_difference(flips)
        kept = retention(ours, theirs, chance=baseline.chance)
        verdict = accuracy_equivalence(flips, margin=MARGIN).verdict
    return BenchmarkComparison(
        benchmark=baseline.benchmark,
        baseline=baseline.accuracy,
        candidate=candidate.accuracy,
        difference=difference,
        flips=flips,
        retention=kept,
        no_worse=verdict,
        adjusted_p_value=difference.p_value,
    )


def _require_alike(candidate: BenchmarkResult, baseline: BenchmarkResult) -> None:
    for what in ("metric", "num_fewshot", "items_source", "harness"):
        if getattr(candidate, what) != getattr(baseline, what):
            raise UnpairedError(f"{baseline.benchmark} was asked with another {what.replace('_', ' ')} of the two.")
    if [item.id for item in candidate.items] != [item.id for item in baseline.items]:
        raise UnpairedError(f"{baseline.benchmark} was asked of other items of the two.")
