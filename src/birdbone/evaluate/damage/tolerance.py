"""What a person is willing to pay for a change, and how sure he wants to be."""

from __future__ import annotations

import math
from dataclasses import dataclass

from birdbone.evaluate.errors import BadSettingError

SAME_MODEL_NATS = 0.01
"""Nats a token that may be lost where both should be the same model: one percent of perplexity."""

_LATE_TIMES = 2.0
_WRECKED_SHARE = 0.25


@dataclass(frozen=True, slots=True, kw_only=True)
class Tolerance:
    """Limits of all rules, from one figure.

    Raises:
        BadSettingError: `nats` is not above 0, or `level` not between 0 and 0.5.
    """

    nats: float = SAME_MODEL_NATS
    """Mean KL(baseline || candidate) a token, in nats, from which on a candidate is damaged."""
    level: float = 0.01
    """Chance that is accepted of accepting a candidate at its limit."""

    def __post_init__(self) -> None:
        """Refuse values that mean nothing."""
        if not 0 < self.nats < math.inf:
            raise BadSettingError(f"`nats` is {self.nats}; a finite value above 0 was expected.")
        if not 0 < self.level < 0.5:
            raise BadSettingError(f"`level` is {self.level}; a value between 0 and 0.5 was expected.")

    @property
    def late_nats(self) -> float:
        """Limit of the mean over the last quarter of each window.

        Twice the other: with half the tolerance over a whole window it can only be reached if nothing else diverges.
        """
        return _LATE_TIMES * self.nats

    @property
    def wrecked_share(self) -> float:
        """Share of positions that may diverge by over a nat: at most a quarter of the tolerance is spent on them."""
        return _WRECKED_SHARE * self.nats
