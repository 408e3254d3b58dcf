"""What was found of a candidate, with the figures it rests on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from birdbone.core import Measurement
from birdbone.evaluate.damage.hints import Hint
from birdbone.evaluate.damage.rules import RuleFinding
from birdbone.evaluate.damage.tokens import TokenComparison
from birdbone.evaluate.damage.tolerance import Tolerance

DamageOutcome = Literal["harmless", "damaged", "undecided"]
"""`harmless`: shown to cost less than the tolerance. `damaged`: surely more. `undecided`: neither, so not accepted."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DamageVerdict:
    """Whether a candidate is damaged, and how one knows."""

    outcome: DamageOutcome
    findings: tuple[RuleFinding, ...]
    """One a rule that could be asked."""
    hint: Hint | None
    """A likely cause; None for what is harmless."""
    tokens: TokenComparison
    """How both read the texts as tokens."""
    same_top1: float | None
    """Share of positions with the same most likely token; absent where the tokens are not the same."""
    num_tokens: int
    """Tokens of the baseline that were read."""
    num_windows: int
    """Windows, or pieces of text where the tokens are not the same."""
    tolerance: Tolerance

    @property
    def is_accepted(self) -> bool:
        """Whether the candidate may take the baseline's place."""
        return self.outcome == "harmless"

    @property
    def in_words(self) -> str:
        """The outcome with its hint, as a sentence."""
        words = f"{self.outcome.capitalize()} at {self.tolerance.nats:g} nats a token, by {self.num_tokens:,} tokens"
        if self.hint is None:
            return f"{words}."
        return f"{words}. Likely {self.hint.words}: {self.hint.evidence}."

    @property
    def decisive(self) -> tuple[RuleFinding, ...]:
        """The rules that stand against the candidate."""
        return tuple(finding for finding in self.findings if finding.outcome != "within")

    def measurements(self, *, artefact: str) -> tuple[Measurement, ...]:
        """Return the figure of each rule that was asked, by the name `damage_<rule>`, as measured on `artefact`.

        An interval here is one-sided at the tolerance's level on each side. `damage_rejected` is 1 for a candidate that
        is not accepted, so that a gate may ask it to be at most 0.
        """
        method = f"against the baseline on {self.num_windows} windows, {self.num_tokens} tokens"

        def row(name: str, value: float, unit: str, ends: tuple[float | None, float | None]) -> Measurement:
            return Measurement(
                name=name,
                value=value,
                unit=unit,
                method=method,
                artefact=artefact,
                sample_size=self.num_tokens,
                low=ends[0],
                high=ends[1],
            )

        rules = [row(f"damage_{each.rule}", each.value, each.unit, (each.low, each.high)) for each in self.findings]
        return (*rules, row("damage_rejected", 0.0 if self.is_accepted else 1.0, "1", (None, None)))


def outcome_of(findings: Sequence[RuleFinding]) -> DamageOutcome:
    """Return what the rules say together: the worst of them."""
    outcomes = {finding.outcome for finding in findings}
    if "above" in outcomes:
        return "damaged"
    return "undecided" if "undecided" in outcomes else "harmless"
