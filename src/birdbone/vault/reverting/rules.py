"""The rules of the revert engine: what they watch, when they fire, and whether a person has to say yes.

A rules file is YAML with a list of `rules`; `default_rules.yaml` beside this module is read where none is given and
shows each kind that a model in waves of pruning needs.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, ValidationError, model_validator

from birdbone.core.errors import YamlError
from birdbone.core.schema import Strict
from birdbone.core.yaml12 import read_yaml
from birdbone.vault.errors import BadRulesError

DEFAULT_RULES = Path(__file__).with_name("default_rules.yaml")

Scale = Literal["value", "log", "change"]


class _Common(Strict):
    name: str = Field(min_length=1)
    """What the rule is called in decisions."""
    approval: Literal["none", "required"] = "none"
    """Whether a person has to approve a revert for which this rule fired."""
    accepts_estimates: bool = False
    """Whether an estimated figure counts where none was measured."""
    cool_down_waves: int = Field(default=0, ge=0)
    """How many new versions there have to be after a revert before this rule may ask for another."""


class _Watching(_Common):
    measurement: str = Field(min_length=1)
    """The figure it watches."""
    lower_is_better: bool = True
    """Whether a higher figure is the worse one (perplexity) or the better one (a decode rate)."""
    for_waves: int = Field(default=1, ge=1)
    """How many observations on end have to be beyond the limit."""


class ThresholdRule(_Watching):
    """A figure is worse than a limit: relative to a baseline, or outright."""

    kind: Literal["threshold"]
    """`threshold`"""
    against: Literal["accepted", "first", "nothing"] = "accepted"
    """`accepted`: the last observations that were not beyond this limit; `first`: the first of the history; `nothing`:
    the limit is on the figure itself."""
    limit: float = Field(allow_inf_nan=False)
    """Share by which the figure may be worse (0.03 for 3 %); with `against: nothing`, the figure itself."""
    baseline_waves: int = Field(default=1, ge=1)
    """How many observations the baseline is the median of."""
    by: Literal["value", "interval"] = "value"
    """`interval`: even the better end of the 95 % interval has to be beyond the limit. Without an interval the figure
    does not count as measured."""

    @model_validator(mode="after")
    def _limit_is_a_share(self) -> ThresholdRule:
        if self.against != "nothing" and self.limit < 0:
            raise ValueError("limit is the share by which the figure may be worse, and cannot be negative")
        return self


class GateRule(_Common):
    """A figure or a verdict that has to hold in every wave, such as a safety gate. A figure that is no number fails."""

    kind: Literal["gate"]
    """`gate`"""
    measurement: str = Field(min_length=1)
    """Shell pattern over the names of figures and verdicts: `safety.*`."""
    at_least: float | None = Field(default=None, allow_inf_nan=False)
    """Lowest figure that passes."""
    at_most: float | None = Field(default=None, allow_inf_nan=False)
    """Highest figure that passes."""
    missing: Literal["skip", "fail"] = "skip"
    """Whether a version on which nothing of this name was measured passes unseen, or fails."""


class ZScoreRule(_Watching):
    """The newest figures lie far from the median of those before, in robust standard deviations."""

    kind: Literal["z_score"]
    """`z_score`"""
    on: Scale = "log"
    """What is watched: the figure, its logarithm, or the change of the logarithm from one observation to the next."""
    window: int = Field(ge=4)
    """How many observations before the trial the median and the spread are taken over."""
    limit: float = Field(gt=0, allow_inf_nan=False)
    """Robust standard deviations."""
    min_spread: float = Field(gt=0, allow_inf_nan=False)
    """Smallest standard deviation to reckon with, in the units of `on`: a window of equal figures has none."""


class PageHinkleyRule(_Watching):
    """The mean of a figure has become worse, by the Page-Hinkley test."""

    kind: Literal["page_hinkley"]
    """`page_hinkley`"""
    on: Scale = "log"
    """What is watched, as for `z_score`."""
    delta: float = Field(ge=0, allow_inf_nan=False)
    """Change of the mean that is tolerated, in the units of `on`."""
    threshold: float = Field(gt=0, allow_inf_nan=False)
    """Sum of what exceeds it at which the test alarms."""
    min_observations: int = Field(default=5, ge=2)
    """Observations before the test may alarm."""
    min_change: float = Field(default=0.0, ge=0, allow_inf_nan=False)
    """Least difference of the means before and since the onset."""


class AdwinRule(_Watching):
    """The mean of a figure has become worse, by adaptive windowing."""

    kind: Literal["adwin"]
    """`adwin`"""
    on: Scale = "log"
    """What is watched, as for `z_score`."""
    delta: float = Field(default=0.002, gt=0, lt=1)
    """Significance of a cut between an older and a newer window."""
    span: float = Field(gt=0, allow_inf_nan=False)
    """How far the figure usually ranges, in the units of `on`: ADWIN's bound is for values between 0 and 1, so each is
    divided by this. Too wide a span makes it blind."""
    min_window: int = Field(default=5, ge=1)
    """Fewest observations on either side of a cut."""
    min_observations: int = Field(default=10, ge=2)
    """Observations before the test may alarm."""
    min_change: float = Field(default=0.0, ge=0, allow_inf_nan=False)
    """Least difference of the means before and since the onset."""


SingleRule = Annotated[ThresholdRule | GateRule, Field(discriminator="kind")]
"""A rule that judges each observation by itself."""
Rule = Annotated[ThresholdRule | GateRule | ZScoreRule | PageHinkleyRule | AdwinRule, Field(discriminator="kind")]


class RevertRules(Strict):
    """A file of rules."""

    format: Literal["birdbone.revert-rules/1"]
    """Generation of this file."""
    person_after_reverts: int = Field(default=3, ge=1)
    """After so many returns to an earlier version, the next one needs a person: the engine is going in circles."""
    person_within_waves: int = Field(default=12, ge=1)
    """Over how many of the newest versions of the ref the returns are counted."""
    rules: tuple[Rule, ...] = Field(min_length=1)
    """The rules; each is judged by itself, and any that fires asks for a revert."""

    @model_validator(mode="after")
    def _names_differ(self) -> RevertRules:
        names = [rule.name for rule in self.rules]
        if len(set(names)) != len(names):
            raise ValueError(f"two rules have the same name among {names}")
        return self


def read_rules(path: Path | None = None) -> RevertRules:
    """Return the rules of a YAML file, or the default rules.

    Raises:
        BadRulesError: the file is missing, is not YAML, or a rule has an unknown or missing setting.
    """
    path = path or DEFAULT_RULES
    try:
        return RevertRules.model_validate(read_yaml(path.read_text(encoding="utf-8"), name=path.name))
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        raise BadRulesError(f"{path.name}: {where}: {first['msg']}.", path=str(path)) from error
    except (OSError, UnicodeDecodeError, YamlError) as error:
        raise BadRulesError(f"{path.name} cannot be read: {error}", path=str(path)) from error
