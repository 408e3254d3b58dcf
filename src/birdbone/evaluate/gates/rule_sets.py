"""The file of a gate: its rules, floors of single stages, one against the first model, and environments.

```yaml
format: birdbone.gates/1
correction: holm
rules: [{kind: perplexity_ratio, at_most: 1.03}]           # always
stages: {quantize: [{kind: kl, at_most: 0.02}]}            # one stage against what it began with
cumulative: [{kind: perplexity_ratio, at_most: 1.05}]      # against the first model: small losses add up
environments:
  dev: {}
  prod: {extends: dev, rules: [{kind: no_worse, margin: 0.02}]}
```

An environment adds to what stands above it, and to the environment that it extends. A rule takes the place of one of
the same name among those that it adds to, so that an environment can be stricter without saying all again.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import Field, ValidationError, model_validator

from birdbone.core import Strict, read_yaml
from birdbone.core.errors import YamlError
from birdbone.evaluate.config import GateRule, Stage
from birdbone.evaluate.errors import BadGatesError
from birdbone.evaluate.gates.rules import (
    DifferenceRule,
    DivergenceRule,
    FlipsRule,
    NoWorseRule,
    PerplexityRatioRule,
    RetentionRule,
    SameTopRule,
)

Rule = Annotated[
    GateRule
    | DifferenceRule
    | NoWorseRule
    | RetentionRule
    | FlipsRule
    | PerplexityRatioRule
    | DivergenceRule
    | SameTopRule,
    Field(discriminator="kind"),
]
Correction = Literal["holm", "benjamini_hochberg"]
"""Holm bounds the chance of one false alarm in the set; Benjamini-Hochberg the share of false ones among alarms."""


class RuleSet(Strict):
    """Rules that are judged together."""

    correction: Correction | None = None
    """How p-values are adjusted over the set; that of what it adds to unless given, and Holm at last."""
    rules: tuple[Rule, ...] = ()
    """What the candidate has to keep against the baseline."""
    stages: dict[Stage, tuple[Rule, ...]] = Field(default_factory=dict)
    """What a stage has to keep against what it began with."""
    cumulative: tuple[Rule, ...] = ()
    """What has to be kept against the first model."""

    @model_validator(mode="after")
    def _names_differ(self) -> Self:
        for rules in (self.rules, self.cumulative, *self.stages.values()):
            names = [rule.label for rule in rules]
            twice = sorted({name for name in names if names.count(name) > 1})
            if twice:
                raise ValueError(f"two rules are called {twice[0]!r}: give one of them a `name`")
        return self

    def for_stage(self, stage: Stage | None) -> RuleSet:
        """Return the rules that are judged where one stage is: its floor, and that of no other."""
        floors = {} if stage is None else {stage: self.stages.get(stage, ())}
        return RuleSet(correction=self.correction, rules=self.rules, stages=floors, cumulative=self.cumulative)

    def all_rules(self) -> Iterator[Rule]:
        """Yield every rule: of the gate, of the stages, and the cumulative ones."""
        yield from self.rules
        for rules in self.stages.values():
            yield from rules
        yield from self.cumulative


class Environment(RuleSet):
    """A named set of gates."""

    extends: str | None = None
    """The environment that it adds to."""


class Gates(RuleSet):
    """A file of gates."""

    format: Literal["birdbone.gates/1"]
    """Generation of this file."""
    environments: dict[str, Environment] = Field(default_factory=dict)
    """Sets of gates by name, such as dev, staging and prod."""

    @model_validator(mode="after")
    def _environments_lead_somewhere(self) -> Self:
        for name in self.environments:
            list(self._chain(name))
        return self

    def rule_set(self, environment: str | None = None) -> RuleSet:
        """Return all rules that hold in an environment; without one, those that always hold.

        Raises:
            BadGatesError: there is no such environment, or there is no rule.
        """
        if environment is not None and environment not in self.environments:
            known = ", ".join(self.environments) or "none"
            raise BadGatesError(f"No environment is called {environment!r}; there are: {known}.")
        chain: list[RuleSet] = [self, *(self._chain(environment) if environment is not None else ())]
        joined = chain[0]
        for added in chain[1:]:
            joined = _joined(joined, added)
        if not any(joined.all_rules()):
            names = ", ".join(self.environments)
            raise BadGatesError("There is no rule.", hint=f"Name an environment: {names}." if names else None)
        return RuleSet(
            correction=joined.correction, rules=joined.rules, stages=joined.stages, cumulative=joined.cumulative
        )

    def _chain(self, name: str) -> Iterator[Environment]:
        """Yield what an environment adds to, the first one first, and then itself."""
        names = [name]
        while (parent := self.environments[names[-1]].extends) is not None:
            if parent not in self.environments:
                raise ValueError(f"the environment {names[-1]!r} extends {parent!r}, which there is not")
            if parent in names:
                raise ValueError(f"the environment {parent!r} extends itself, by way of {names[-1]!r}")
            names.append(parent)
        yield from (self.environments[each] for each in reversed(names))


def read_gates(path: Path) -> Gates:
    """Return the gates of a YAML file.

    Raises:
        BadGatesError: the file cannot be read, or a rule has an unknown, missing or impossible setting (names all).
    """
    try:
        return Gates.model_validate(read_yaml(path.read_text(encoding="utf-8"), name=path.name))
    except ValidationError as error:
        faults = "; ".join(f"{_place(fault['loc'])}: {fault['msg']}" for fault in error.errors())
        raise BadGatesError(f"{path.name} does not fit: {faults}.", path=str(path)) from error
    except (OSError, UnicodeDecodeError, YamlError) as error:
        raise BadGatesError(f"{path.name} cannot be read: {error}", path=str(path)) from error


def _joined(below: RuleSet, added: RuleSet) -> RuleSet:
    stages = {
        stage: _overlaid(below.stages.get(stage, ()), added.stages.get(stage, ()))
        for stage in (*below.stages, *added.stages)
    }
    return RuleSet(
        correction=added.correction or below.correction,
        rules=_overlaid(below.rules, added.rules),
        stages=stages,
        cumulative=_overlaid(below.cumulative, added.cumulative),
    )


def _overlaid(below: Iterable[Rule], added: Iterable[Rule]) -> tuple[Rule, ...]:
    """Return the rules of both; one of the same name takes the place of the one below."""
    return tuple({rule.label: rule for rule in (*below, *added)}.values())


def _place(location: tuple[int | str, ...]) -> str:
    return ".".join(str(part) for part in location) or "the file"
