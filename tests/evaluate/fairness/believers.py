"""Judges whose beliefs are known: the tokenizer of a real one, likelihoods by a rule over the text."""

from __future__ import annotations

from collections.abc import Callable

from tests.evaluate.checks.judges import Wrapped, whole_judge

from birdbone.core import Measurement
from birdbone.evaluate.audits import AuditResult
from birdbone.evaluate.benchmarks import Likelihood

Belief = Callable[[str, str], float]
"""From context and continuation to a log-likelihood."""


class Believes(Wrapped):
    """Finds texts as likely as a rule says."""

    def __init__(self, belief: Belief, *, max_tokens: int = 4096) -> None:
        super().__init__(whole_judge())
        self.belief = belief
        self.max_tokens = max_tokens

    def score(self, requests, *, progress=None):
        return [Likelihood(self.belief(self.decode(one.context), self.decode(one.tokens)), False) for one in requests]


def prefers(*wanted: str) -> Belief:
    """Return the belief that a text with one of these ends is likely, and any other is not."""
    return lambda context, text: -1.0 if (context + text).endswith(wanted) else -1000.0


def figures(result: AuditResult) -> dict[str, Measurement]:
    """Return the figures by name, without the audit's own."""
    return {figure.name.removeprefix(f"{result.audit}."): figure for figure in result.measurements}
