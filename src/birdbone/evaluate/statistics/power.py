"""What a paired comparison of right and wrong answers can show, before it is run.

Two models that agree on most items differ on few, and only those carry the test: so the number that is needed falls
with the discordance, the share of items whose answer flips, and not with the accuracies.
Source: Connor 1987, Biometrics 43(1), pages 207 to 211, eq. 2 (Miettinen 1968). Symbols: discordance = psi,
difference = delta, and z of 1 - level / 2 and of the power. By the normal approximation of McNemar's test.
"""

from __future__ import annotations

import math

from scipy.special import ndtr, ndtri  # type: ignore[import-untyped]

from birdbone.evaluate.errors import BadSettingError, TooFewItemsError
from birdbone.evaluate.statistics.items import require_share

POWER = 0.8
"""Chance of finding the difference that one plans for."""

LEVEL = 0.05
"""Two-sided level of the comparison."""


def paired_power(difference: float, *, num_items: int, discordance: float, level: float = LEVEL) -> float:
    """Return the chance that the test finds a true difference of accuracies; that it errs in the sign is left out.

    Args:
        difference: candidate less baseline, in size at most `discordance`; the sign changes nothing.
        num_items: N.
        discordance: share of items whose answer flips, both directions together.
        level: two-sided level of the test.

    Raises:
        BadSettingError: a share is out of its range, or the difference is larger than the discordance.
        TooFewItemsError: `num_items` is 0.
    """
    _require(discordance, level, num_items=num_items)
    _require_possible(difference, discordance)
    spread = math.sqrt(discordance - difference**2)
    excess = abs(difference) * math.sqrt(num_items) - _quantile(1 - level / 2) * math.sqrt(discordance)
    return float(ndtr(excess / spread))


def num_items_needed(difference: float, *, discordance: float, power: float = POWER, level: float = LEVEL) -> int:
    """Return the smallest number of items at which the test finds the difference with the chance `power`.

    Args:
        difference: candidate less baseline, not 0, in size at most `discordance`.
        discordance: share of items whose answer flips.
        power: from 0.5 to below 1.
        level: two-sided level of the test.

    Raises:
        BadSettingError: a share is out of its range, or the difference is 0 or larger than the discordance.
    """
    _require(discordance, level, power=power)
    _require_possible(difference, discordance)
    if difference == 0:
        raise BadSettingError("`difference` is 0; no number of items shows that.")
    reach = _quantile(1 - level / 2) * math.sqrt(discordance)
    reach += _quantile(power) * math.sqrt(discordance - difference**2)
    return math.ceil((reach / difference) ** 2)


def detectable_difference(
    num_items: int, *, discordance: float, power: float = POWER, level: float = LEVEL
) -> float | None:
    """Return the smallest difference of accuracies that the test finds with the chance `power`, at this many items.

    Args:
        num_items: N.
        discordance: share of items whose answer flips.
        power: from 0.5 to below 1.
        level: two-sided level of the test.

    Returns:
        The difference in size; None where even flips all in one direction, a difference as large as the discordance,
        would not be found so often.

    Raises:
        BadSettingError: a share is out of its range.
        TooFewItemsError: `num_items` is 0.
    """
    _require(discordance, level, num_items=num_items, power=power)
    slope = _detectable_slope(num_items, power=power, level=level)
    difference = math.inf if slope is None else math.sqrt(discordance) * slope
    return difference if difference <= discordance else None


def least_detectable_difference(num_items: int, *, power: float = POWER, level: float = LEVEL) -> float | None:
    """Return the smallest difference that the test finds with the chance `power` at any discordance: all flips one way.

    Args:
        num_items: N.
        power: from 0.5 to below 1.
        level: two-sided level of the test.

    Returns:
        The difference in size; None where not even a flip of every item would be found so often.

    Raises:
        BadSettingError: a share is out of its range.
        TooFewItemsError: `num_items` is 0.

    Source: `detectable_difference` where the difference equals the discordance.
    """
    _require(0.5, level, num_items=num_items, power=power)
    slope = _detectable_slope(num_items, power=power, level=level)
    return slope**2 if slope is not None and slope <= 1 else None


def detectable_shift(standard_error: float, *, power: float = POWER, level: float = LEVEL) -> float:
    """Return the smallest shift of a mean that a two-sided test finds with the chance `power`.

    Args:
        standard_error: of the mean, in its units; 0 gives 0.
        power: from 0.5 to below 1.
        level: two-sided level of the test.

    Raises:
        BadSettingError: a share is out of its range, or the standard error is negative.

    Source: the normal approximation, as in Lachin 1981, Controlled Clinical Trials 2(2), pages 93 to 113, eq. 1.
    """
    require_share("level", level)
    _require_power(power)
    if not 0 <= standard_error < math.inf:
        raise BadSettingError(f"`standard_error` is {standard_error}; a finite value of at least 0 was expected.")
    return (_quantile(1 - level / 2) + _quantile(power)) * standard_error


def _detectable_slope(num_items: int, *, power: float, level: float) -> float | None:
    """Return the detectable difference over the root of the discordance; None if no difference is."""
    z_level, z_power = _quantile(1 - level / 2), _quantile(power)
    if num_items < z_level**2:  # not even a difference in every item is significant; the formula's root is spurious
        return None
    reach = math.sqrt(num_items) * z_level + z_power * math.sqrt(num_items + z_power**2 - z_level**2)
    return reach / (num_items + z_power**2)


def _quantile(share: float) -> float:
    return float(ndtri(share))


def _require(discordance: float, level: float, *, num_items: int = 1, power: float = POWER) -> None:
    require_share("discordance", discordance)
    require_share("level", level)
    if num_items < 1:
        raise TooFewItemsError("There are no items.", num_items=num_items, needed=1)
    _require_power(power)


def _require_power(power: float) -> None:
    if not 0.5 <= power < 1:
        raise BadSettingError(f"`power` is {power}; at least 0.5 and below 1 was expected.")


def _require_possible(difference: float, discordance: float) -> None:
    if not abs(difference) <= discordance:
        message = f"A difference of {difference} cannot come from flips of {discordance} of the items."
        raise BadSettingError(message)
