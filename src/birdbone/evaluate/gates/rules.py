"""Rules over a comparison of two models on the same items or the same text, as a person writes them.

Each is judged by an interval, never by the figure alone: it passes where the whole 95 % interval keeps the limit, fails
where the whole of it is beyond (and still is after the p-values of the set are adjusted), and is undecided between.
`GateRule` in `evaluate.config` is the plain rule over one measurement.
"""

from __future__ import annotations

from typing import Literal, Self, assert_never

from pydantic import Field, model_validator

from birdbone.core import Strict

EVERY = "*"
"""Stands for every benchmark that both models were asked."""


class _Comparison(Strict):
    name: str | None = Field(default=None, min_length=1)
    """What the rule is called; its kind, with the benchmark that it names, unless given."""
    undecided: Literal["warn", "fail"] = "warn"
    """What it counts as where the items are too few to decide."""

    @property
    def label(self) -> str:
        """Its name."""
        kind, benchmark = str(getattr(self, "kind", "")), getattr(self, "benchmark", EVERY)
        return self.name or (kind if benchmark == EVERY else f"{kind}.{benchmark}")

    @model_validator(mode="after")
    def _warns_before_it_fails(self) -> Self:
        warn, least, most = (getattr(self, field, None) for field in ("warn", "at_least", "at_most"))
        if warn is not None and ((least is not None and warn < least) or (most is not None and warn > most)):
            raise ValueError(f"warn ({warn}) must lie on the good side of the limit")
        return self


class _OnBenchmark(_Comparison):
    benchmark: str = Field(default=EVERY, min_length=1)
    """The benchmark; `*` for every one that both models were asked."""


class DifferenceRule(_OnBenchmark):
    """The paired difference of scores, candidate less baseline, is at least so large."""

    kind: Literal["difference"]
    at_least: float = Field(gt=-1, lt=1)
    """As a share of the items: -0.02 lets two points go."""
    warn: float | None = Field(default=None, gt=-1, lt=1)
    """A difference below this, and not below the limit, warns."""


class NoWorseRule(_OnBenchmark):
    """The candidate is no worse by more than a margin, by a one-sided test at 5 % that puts the burden on it."""

    kind: Literal["no_worse"]
    margin: float = Field(default=0.03, gt=0, lt=1)
    """As a share of the items: 0.03 is three points."""


class RetentionRule(_OnBenchmark):
    """Of what the baseline knows above a guess, the candidate keeps at least so much."""

    kind: Literal["retention"]
    at_least: float = Field(default=0.95, gt=0, le=2)
    """As a share: 0.95 is 95 %."""
    warn: float | None = Field(default=None, gt=0, le=2)
    """A share below this, and not below the limit, warns."""


class FlipsRule(_OnBenchmark):
    """At most so many answers flipped: equal scores can hide that half of the answers changed."""

    kind: Literal["flips"]
    at_most: float = Field(gt=0, lt=1)
    """As a share of the items."""
    counted: Literal["all", "lost"] = "all"
    """All flips, or only right answers that became wrong."""
    warn: float | None = Field(default=None, gt=0, lt=1)
    """A share above this, and not above the limit, warns."""


class PerplexityRatioRule(_Comparison):
    """The candidate's perplexity is at most so many times the baseline's, on the same windows."""

    kind: Literal["perplexity_ratio"]
    at_most: float = Field(default=1.03, gt=0, allow_inf_nan=False)
    """1.03 is a rise by 3 %."""
    warn: float | None = Field(default=None, gt=0, allow_inf_nan=False)
    """A ratio above this, and not above the limit, warns."""


class DivergenceRule(_Comparison):
    """The candidate's predictions diverge from the baseline's by at most so much."""

    kind: Literal["kl"]
    at_most: float = Field(gt=0, allow_inf_nan=False)
    """Mean KL(baseline || candidate) a position, in nats."""
    warn: float | None = Field(default=None, gt=0, allow_inf_nan=False)
    """A divergence above this, and not above the limit, warns."""


class SameTopRule(_Comparison):
    """Both models hold the same token for the most likely one at no less than such a share of the positions."""

    kind: Literal["same_top1"]
    at_least: float = Field(gt=0, lt=1)
    """As a share of the positions."""
    warn: float | None = Field(default=None, gt=0, lt=1)
    """A share below this, and not below the limit, warns."""


BenchmarkRule = DifferenceRule | NoWorseRule | RetentionRule | FlipsRule
"""A rule over answers."""
TextRule = PerplexityRatioRule | DivergenceRule | SameTopRule
"""A rule over predictions of text."""
ComparisonRule = BenchmarkRule | TextRule
"""A rule over two models."""


def limit_of(rule: ComparisonRule) -> tuple[float, bool]:
    """Return the limit of a rule, and whether it is an upper one."""
    match rule:
        case NoWorseRule():
            return -rule.margin, False
        case DifferenceRule() | RetentionRule() | SameTopRule():
            return rule.at_least, False
        case FlipsRule() | PerplexityRatioRule() | DivergenceRule():
            return rule.at_most, True
        case _:
            assert_never(rule)


def warn_of(rule: ComparisonRule) -> float | None:
    """Return the figure beyond which a rule warns that passes."""
    return None if isinstance(rule, NoWorseRule) else rule.warn
