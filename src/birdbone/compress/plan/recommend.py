"""Which plan to take under budgets, and what to say where none keeps them. Free of torch."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from birdbone.compress.errors import UnmetBudgetError
from birdbone.compress.plan.forecast import Forecast


@dataclass(frozen=True, slots=True, kw_only=True)
class Budget:
    """What a plan may take at most; None is no limit.

    Attributes:
        max_bytes: of the file.
        max_ratio: perplexity over that of the model as it is; 1.03 is 3 % more.
        max_seconds: a token.
        goal: what is to be least among the plans that keep all limits.
    """

    max_bytes: int | None = None
    max_ratio: float | None = None
    max_seconds: float | None = None
    goal: Literal["loss", "bytes"] = "loss"

    def excess(self, forecast: Forecast) -> float:
        """Return by how much the budgets are exceeded, each as a share of itself, all together; 0 where they hold."""
        parts = (
            (forecast.size_bytes, self.max_bytes),
            (max(0.0, forecast.rise.value), None if self.max_ratio is None else math.log(self.max_ratio)),
            (forecast.seconds.value, self.max_seconds),
        )
        return sum(max(0.0, value - limit) / max(limit, 1e-9) for value, limit in parts if limit is not None)

    @property
    def words(self) -> str:
        """The budgets for people."""
        told = []
        if self.max_bytes is not None:
            told.append(size_words(self.max_bytes))
        if self.max_ratio is not None:
            told.append(f"{100 * (self.max_ratio - 1):+.3g} % perplexity")
        if self.max_seconds is not None:
            told.append(f"{1000 * self.max_seconds:.3g} ms a token")
        return ", ".join(told) or "no limit"


def recommend(forecasts: Sequence[Forecast], budget: Budget) -> Forecast:
    """Return the plan of the least loss, or of the fewest bytes, among those that keep all limits.

    A tighter limit of bytes never gives a larger file. Of equals the smaller file is taken, then the faster.

    Raises:
        UnmetBudgetError: no plan keeps all limits; the message names the nearest to each of them.
    """
    within = [found for found in forecasts if budget.excess(found) == 0]
    if not within:
        raise _unmet(forecasts, budget)
    if budget.goal == "bytes":
        return min(within, key=lambda found: (found.size_bytes, found.seconds.value, found.rise.value))
    return min(within, key=lambda found: (max(0.0, found.rise.value), found.size_bytes, found.seconds.value))


def _unmet(forecasts: Sequence[Forecast], budget: Budget) -> UnmetBudgetError:
    if not forecasts:
        return UnmetBudgetError("There is no plan of any use for this model: every one loses too much.")
    told = [f"No plan keeps {budget.words}."]
    for limit in _single_limits(budget):
        kept = [found for found in forecasts if limit.excess(found) == 0]
        if kept:
            nearest = min(kept, key=lambda found: (budget.excess(found), found.size_bytes))
            told.append(f"Within {limit.words} the nearest has {forecast_words(nearest)}: {nearest.plan.words}.")
        else:
            nearest = min(forecasts, key=limit.excess)
            told.append(f"No plan at all keeps {limit.words}; the nearest has {forecast_words(nearest)}.")
    nearest = min(forecasts, key=lambda found: (budget.excess(found), found.size_bytes))
    return UnmetBudgetError(" ".join(dict.fromkeys(told)), nearest=nearest.to_data())


def forecast_words(forecast: Forecast) -> str:
    """Return bytes, loss and time of a forecast for people."""
    return (
        f"{size_words(forecast.size_bytes)}, {100 * (forecast.perplexity_ratio.value - 1):+.1f} % perplexity, "
        f"{1000 * forecast.seconds.value:.1f} ms a token"
    )


def size_words(size_bytes: float) -> str:
    """Return bytes in the unit that reads best (powers of ten)."""
    unit, scale = next((pair for pair in (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)) if size_bytes >= pair[1]), ("B", 1))
    return f"{size_bytes / scale:.1f} {unit}"


def _single_limits(budget: Budget) -> list[Budget]:
    limits = [Budget(max_bytes=budget.max_bytes)] if budget.max_bytes is not None else []
    limits += [Budget(max_ratio=budget.max_ratio)] if budget.max_ratio is not None else []
    limits += [Budget(max_seconds=budget.max_seconds)] if budget.max_seconds is not None else []
    return limits
