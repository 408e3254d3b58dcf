"""Figures of a comparison in words: each kind of rule in the units in which people speak of it."""

from __future__ import annotations

from typing import assert_never

from birdbone.evaluate.gates.estimates import Estimate
from birdbone.evaluate.gates.rules import (
    ComparisonRule,
    DifferenceRule,
    DivergenceRule,
    FlipsRule,
    NoWorseRule,
    PerplexityRatioRule,
    RetentionRule,
    SameTopRule,
    limit_of,
    warn_of,
)
from birdbone.evaluate.gates.verdicts import Floor


def figure_words(rule: ComparisonRule, value: float) -> str:
    """Return a figure as the rule's limit is written."""
    return f"{_number(rule, value)}{_unit(rule)}"


def interval_words(rule: ComparisonRule, low: float, high: float) -> str:
    """Return the ends of an interval, in the units of `figure_words`."""
    return f"[{_number(rule, low)} to {_number(rule, high)}]"


def change_words(rule: ComparisonRule, change: float) -> str:
    """Return a change of the figure, such as the least one that can be shown."""
    match rule:
        case DivergenceRule():
            return f"{change:.3g} nat"
        case PerplexityRatioRule():
            return f"a change by {100 * change:.2g} %"
        case _:
            return f"{100 * change:.1f} points"


def effect_words(rule: ComparisonRule, found: Estimate) -> str:
    """Return an effect with its 95 % interval."""
    return f"{figure_words(rule, found.value)}{_of_what(rule)} {interval_words(rule, found.low, found.high)}"


def bound_words(rule: ComparisonRule, *, is_warned: bool) -> str:
    """Return what the rule requires and, where it warned, what it hoped for."""
    if isinstance(rule, NoWorseRule):
        return f"no worse by {100 * rule.margin:.1f} points is required"
    limit, is_upper = limit_of(rule)
    side, warn = "at most" if is_upper else "at least", warn_of(rule)
    hoped = f"{side} {figure_words(rule, warn)} was hoped for, " if is_warned and warn is not None else ""
    return f"{hoped}{side} {figure_words(rule, limit)} is required"


def undecided_words(rule: ComparisonRule, found: Estimate) -> str:
    """Return why a rule could not be decided: what so many items can show."""
    if found.detectable is None:
        return f"undecided: {found.num:,} {found.noun} can show no change at all"
    return f"undecided: {found.num:,} {found.noun} can show no less than {change_words(rule, found.detectable)}"


def floor_words(floor: Floor | None) -> str:
    """Return what stands before the reason of a rule that belongs to a floor."""
    if floor is None:
        return ""
    return "cumulative, against the first model: " if floor == "cumulative" else f"floor of {floor}: "


def _number(rule: ComparisonRule, value: float) -> str:
    match rule:
        case DifferenceRule() | NoWorseRule():
            return f"{100 * value:+.1f}"
        case RetentionRule() | FlipsRule() | SameTopRule():
            return f"{100 * value:.1f}"
        case PerplexityRatioRule():
            return f"{value:.4f}"
        case DivergenceRule():
            return f"{value:.4g}"
        case _:
            assert_never(rule)


def _unit(rule: ComparisonRule) -> str:
    match rule:
        case DifferenceRule() | NoWorseRule():
            return " points"
        case RetentionRule() | FlipsRule() | SameTopRule():
            return " %"
        case PerplexityRatioRule():
            return ""
        case DivergenceRule():
            return " nat"
        case _:
            assert_never(rule)


def _of_what(rule: ComparisonRule) -> str:
    match rule:
        case RetentionRule():
            return " of what lies above a guess"
        case FlipsRule():
            return " of the answers flipped" if rule.counted == "all" else " of the answers were lost"
        case SameTopRule():
            return " same most likely token"
        case _:
            return ""
