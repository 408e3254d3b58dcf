"""Plans that no other beats in bytes, time and loss at once. Free of torch."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import TypeVar

from birdbone.compress.plan.forecast import Forecast

Costs = tuple[float, ...]
ThingT = TypeVar("ThingT")


def costs_of(forecast: Forecast) -> Costs:
    """Return what is to be little: bytes, seconds a token, nats a token (less than none counts as none)."""
    return float(forecast.size_bytes), forecast.seconds.value, max(0.0, forecast.rise.value)


def dominates(one: Costs, other: Costs) -> bool:
    """Return whether `one` is nowhere worse and somewhere better."""
    return all(a <= b for a, b in zip(one, other, strict=True)) and one != other


def pareto_front(things: Iterable[ThingT], costs: Callable[[ThingT], Costs]) -> tuple[ThingT, ...]:
    """Return the things that none dominates, in rising order of their first cost; of equals the first one."""
    ranked = sorted(things, key=costs)
    kept: list[tuple[Costs, ThingT]] = []
    for thing in ranked:
        own = costs(thing)
        # What comes later in the order dominates nothing before it, so one look back is enough.
        if not any(dominates(other, own) or other == own for other, _ in kept):
            kept.append((own, thing))
    return tuple(thing for _, thing in kept)


def front_of(forecasts: Sequence[Forecast]) -> tuple[Forecast, ...]:
    """Return the front of forecasts, the smallest file first."""
    return pareto_front(forecasts, costs_of)


def thinned(front: Sequence[Forecast], *, keep: Forecast, count: int) -> tuple[Forecast, ...]:
    """Return at most `count` of a front, evenly apart, both ends and `keep` among them; in their order."""
    if len(front) <= count:
        return tuple(front)
    places = {round(place * (len(front) - 1) / (count - 2)) for place in range(count - 1)}
    return tuple(found for place, found in enumerate(front) if place in places or found == keep)
