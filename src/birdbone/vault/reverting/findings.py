"""What a rule found and what follows from it: records, with the figures that they stand on."""

from __future__ import annotations

import math
from typing import Literal

from pydantic import Field

from birdbone.core.measurement import Basis
from birdbone.core.schema import Strict
from birdbone.vault.reverting.observations import Figure, Observation, Outcome

Status = Literal["quiet", "pending", "fired", "held", "not_measured", "too_few"]
"""`pending`: beyond the limit, but not yet for enough waves. `held`: fired, but in its cool-down."""


class Evidence(Strict):
    """One figure and the version that it was taken on."""

    version: str
    """The version."""
    name: str
    """The figure's name."""
    value: float | None = Field(allow_inf_nan=False)
    """The figure; None where the row holds no finite number."""
    unit: str
    """Its unit."""
    basis: Basis
    """`measured` or `estimated`."""
    low: float | None
    """Lower end of the 95 % interval."""
    high: float | None
    """Upper end of the 95 % interval."""
    run_id: str
    """The run that took it."""
    outcome: Outcome | None
    """What a gate said, for a verdict."""


class Finding(Strict):
    """What one rule found at the newest version."""

    rule: str
    """Its name."""
    kind: str
    """Its kind."""
    status: Status
    """Whether it fired."""
    reason: str
    """Why, in plain words with the figures."""
    trial: tuple[Evidence, ...] = ()
    """The observations that were judged."""
    baseline: tuple[Evidence, ...] = ()
    """What they were compared with."""
    state: dict[str, float] = Field(default_factory=dict)
    """Numbers that the rule computed, by name: limit, baseline, a detector's sums."""
    onset: str | None = None
    """The first version that is part of the regression."""


class Judgement(Strict):
    """What follows from all findings at one version of a ref. The same history and rules give the same judgement."""

    action: Literal["keep", "hold", "revert", "stuck"]
    """`hold`: a rule fired in its cool-down; `stuck`: no earlier version is known not to be bad."""
    tip: str
    """The version that was judged."""
    return_to: str | None
    """The version to go back to."""
    approval: Literal["none", "required"]
    """Whether a person has to say yes."""
    reason: str
    """Why, in one line."""
    findings: tuple[Finding, ...]
    """One a rule, in the order of the rules."""


def evidence_of(observation: Observation, figure: Figure) -> Evidence:
    """Return a figure of an observation as evidence."""
    return Evidence(
        version=observation.version,
        name=figure.name,
        value=figure.value if math.isfinite(figure.value) else None,
        unit=figure.unit,
        basis=figure.basis,
        low=figure.low,
        high=figure.high,
        run_id=figure.run_id,
        outcome=figure.outcome,
    )
