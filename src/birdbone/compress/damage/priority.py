"""Who is healed first, and for how long. Pure arithmetic."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from birdbone.compress.damage.severity import LayerSeverity, Severity

_RANK: dict[Severity, int] = {"critical": 0, "severe": 1, "moderate": 2, "mild": 3, "healthy": 4}


@dataclass(frozen=True, slots=True, kw_only=True)
class HealingTask:
    """One layer in the queue."""

    layer: int
    severity: Severity
    harm: float
    """Cost of its damage alone, in nats a token."""
    relief: float
    """What mending it alone would win, in nats a token."""


def healing_queue(severities: Sequence[LayerSeverity], relief_L: Sequence[float]) -> tuple[HealingTask, ...]:
    """Return the layers that are not healthy, the most urgent first.

    The class decides, then the relief of mending the layer alone, then the lower layer: it feeds the others.
    """
    tasks = [
        HealingTask(layer=each.layer, severity=each.severity, harm=each.harm, relief=float(relief_L[each.layer]))
        for each in severities
        if each.severity != "healthy"
    ]
    return tuple(sorted(tasks, key=lambda task: (_RANK[task.severity], -task.relief, task.layer)))


def allocate_steps(num_steps: int, damage_L: Sequence[float], *, even_share: float = 0.5) -> list[int]:
    """Return healing steps for each block: a share evenly, the rest by the square root of its damage.

    The sum is `num_steps`, and a block that is hurt more never gets fewer steps than one that is hurt less. By the
    root, because steps win less and less: ten times the damage does not take ten times the steps.

    Args:
        damage_L: relative squared error of each block, or any other figure that grows with damage; what is not finite
            counts as the worst of the others.
        even_share: of the steps that go to all blocks alike, within 0 and 1.
    """
    worst = max((value for value in damage_L if math.isfinite(value)), default=1.0)
    roots = np.sqrt([max(value, 0.0) if math.isfinite(value) else worst for value in damage_L])
    weights = roots / roots.sum() if roots.sum() > 0 else np.full(len(roots), 1 / len(roots))
    shares = num_steps * (even_share / len(roots) + (1 - even_share) * weights)
    steps = np.floor(shares).astype(int)
    left_over = num_steps - int(steps.sum())
    # The largest remainder could give a step to a block that is hurt less; the most hurt get them instead.
    for place in np.argsort(-roots, kind="stable")[:left_over]:
        steps[place] += 1
    return [int(count) for count in steps]
