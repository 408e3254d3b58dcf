"""What rules are judged by: figures of a candidate and of a baseline, and both models' answers item by item."""

from __future__ import annotations

from dataclasses import dataclass

from birdbone.core import Measurement
from birdbone.evaluate.benchmarks.results import BenchmarkResult
from birdbone.evaluate.errors import UnpairedError
from birdbone.evaluate.statistics import PairedRatio

KL, SAME_TOP, RATIO = "kl_to_reference", "same_top1", "perplexity_ratio"
"""Names of the measurements that rules over text are judged by."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AnswerPair:
    """A benchmark as both models answered it."""

    candidate: BenchmarkResult
    baseline: BenchmarkResult

    def __post_init__(self) -> None:
        """Refuse answers to two benchmarks; `compare` refuses the rest that cannot be paired.

        Raises:
            UnpairedError: they are.
        """
        if self.candidate.benchmark != self.baseline.benchmark:
            raise UnpairedError(
                f"{self.candidate.benchmark} cannot be compared with {self.baseline.benchmark}.",
                hint="Ask both models the same benchmark.",
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """What was measured on a candidate and on what it is compared with. What is not here was not measured."""

    candidate: tuple[Measurement, ...] = ()
    """Figures of the candidate, each name once; `kl_to_reference` and `same_top1` are to this baseline."""
    baseline: tuple[Measurement, ...] = ()
    """Figures of the baseline."""
    ratio: PairedRatio | None = None
    """Of the perplexities; without it a measured `perplexity_ratio` counts, which has an interval but no p-value."""
    answers: tuple[AnswerPair, ...] = ()
    """Benchmarks that both were asked."""
