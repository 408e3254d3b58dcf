"""How often the intervals of judging hold the truth, with few items and with accuracies near 0 and 1.

Question: does a 95 % interval of a paired difference of accuracies, and of the retention, hold the true value in 95 %
of cases with 50 items; and how often is a candidate that lies at the margin called no worse?
Method: of the difference the rate is summed over all outcomes of 50 items, without noise, for twelve pairs of
accuracies from 0.02 to 0.98 with discordances of 0.02 to 0.4; a figure is the mean over them, with the least and the
largest. Of the retention it is simulated 10,000 times for each of seven settings, with 50 and with 200 items. For "no
worse" (margin 5 points, level 5 %) the candidate is really worse by 5 points, with discordances of 0.06 to 0.3.
Peer: for the difference Wald's interval, Bonett and Price's (one item added to each direction; 2012), and the
bootstrap-t; for the retention Fieller's interval without the half items that ours adds to each direction.

Run: `python benchmarks/evaluate/bench_interval_coverage.py [--seed 0] [--simulations 10000]`. Prints one JSON row and
writes it to `--output` (unless its folder is missing).
"""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable
from functools import cache, partial
from pathlib import Path
from statistics import fmean
from typing import Any

import numpy as np
from numpy.typing import NDArray
from paired_items import draw_answers, exact_rate, parse_settings, provenance
from scipy.stats import norm

from birdbone.core import write_json
from birdbone.evaluate.statistics.equivalence import accuracy_equivalence
from birdbone.evaluate.statistics.pairs import Flips, accuracy_difference, mean_difference
from birdbone.evaluate.statistics.retention import Retention, retention

_OUTPUT = Path("benchmarks/results/evaluate-interval_coverage.json")
_NUM_ITEMS, _MARGIN, _Z = 50, 0.05, float(norm.isf(0.025))
_DIFFERENCES = [  # candidate, baseline, discordance
    *((0.98, 0.98, 0.02), (0.96, 0.98, 0.04), (0.95, 0.98, 0.05), (0.02, 0.02, 0.04), (0.05, 0.10, 0.09)),
    *((0.90, 0.95, 0.09), (0.80, 0.90, 0.14), (0.60, 0.60, 0.10), (0.60, 0.60, 0.20), (0.52, 0.60, 0.20)),
    *((0.60, 0.60, 0.30), (0.40, 0.60, 0.40)),
]
_RETENTIONS = [  # candidate, baseline, discordance, chance
    *((0.60, 0.60, 0.20, 0.25), (0.55, 0.60, 0.15, 0.25), (0.25, 0.60, 0.45, 0.25), (0.40, 0.45, 0.15, 0.25)),
    *((0.95, 0.98, 0.03, 0.25), (0.80, 0.90, 0.14, 0.50), (0.50, 0.50, 0.10, 0.0)),
]
_Ends = Callable[[Flips], tuple[float, float]]


def main() -> None:
    settings = parse_settings("Count how often intervals hold the truth.", _OUTPUT)
    begun = time.perf_counter()
    chosen = {
        "seed": settings.seed,
        "simulations": settings.simulations,
        "num_items": _NUM_ITEMS,
        "differences": _DIFFERENCES,
        "retentions": _RETENTIONS,
        "margin": _MARGIN,
    }
    row: dict[str, Any] = provenance("bench_interval_coverage", chosen)
    for name, ends in (
        ("score", _score),
        ("wald", _wald),
        ("bonett_price", _bonett_price),
        ("bootstrap_t", _bootstrap),
    ):
        row.update(_coverage(name, ends))
    for num_items in (_NUM_ITEMS, 4 * _NUM_ITEMS):
        row.update(_retention_coverage(num_items, settings.simulations, settings.seed))
    for num_items in (200, 1000):
        rates = [exact_rate(num_items, -_MARGIN, discordance, _is_no_worse) for discordance in (0.06, 0.1, 0.2, 0.3)]
        row[f"no_worse_at_the_margin_{num_items}"] = round(float(np.mean(rates)), 4)
        row[f"no_worse_at_the_margin_{num_items}_min"] = round(min(rates), 4)
        row[f"no_worse_at_the_margin_{num_items}_max"] = round(max(rates), 4)
    row["seconds"] = round(time.perf_counter() - begun, 1)
    if settings.output.parent.is_dir():
        write_json(settings.output, row)
    print(json.dumps(row, ensure_ascii=False))


def _coverage(name: str, ends: _Ends) -> dict[str, float]:
    """Return the mean coverage over the settings, with the least and the largest."""
    known = cache(ends)
    rates = []
    for candidate, baseline, discordance in _DIFFERENCES:
        truth = candidate - baseline
        is_held = partial(_holds, known, truth)
        rates.append(round(exact_rate(_NUM_ITEMS, truth, discordance, is_held), 4))
    return {
        f"{name}_covers": round(fmean(rates), 4),
        f"{name}_covers_min": min(rates),
        f"{name}_covers_max": max(rates),
    }


def _holds(ends: _Ends, truth: float, flips: Flips) -> bool:
    low, high = ends(flips)
    return low - 1e-9 <= truth <= high + 1e-9


def _score(flips: Flips) -> tuple[float, float]:
    found = accuracy_difference(flips)
    return found.low, found.high


def _wald(flips: Flips) -> tuple[float, float]:
    reach = _Z * math.sqrt(max(0.0, flips.discordance - flips.difference**2) / flips.num_items)
    return flips.difference - reach, flips.difference + reach


def _bonett_price(flips: Flips) -> tuple[float, float]:
    return _wald(Flips(gained=flips.gained + 1, lost=flips.lost + 1, num_items=flips.num_items + 2))


def _bootstrap(flips: Flips) -> tuple[float, float]:
    scores = np.zeros(flips.num_items)
    scores[: flips.gained], scores[flips.num_items - flips.lost :] = 1, -1
    found = mean_difference(scores, np.zeros_like(scores), seed=flips.gained, num_resamples=1000)
    return found.low, found.high


def _is_no_worse(flips: Flips) -> bool:
    return accuracy_equivalence(flips, margin=_MARGIN).verdict == "equivalent"


def _retention_coverage(num_items: int, simulations: int, seed: int) -> dict[str, float]:
    ours, peers = [], []
    for place, (candidate, baseline, discordance, chance) in enumerate(_RETENTIONS):
        generator = np.random.default_rng([seed, num_items, place])
        truth = (candidate - chance) / (baseline - chance)
        drawn = draw_answers(candidate, baseline, discordance, shape=(simulations, num_items), generator=generator)
        found = [_retention_by_counts(pair, chance) for pair in zip(*drawn, strict=True)]
        judged = [(ends, plain) for ends, plain in found if isinstance(ends, Retention)]
        ours.append(fmean(ends.low - 1e-9 <= truth <= ends.high + 1e-9 for ends, _ in judged))
        peers.append(fmean(low - 1e-9 <= truth <= high + 1e-9 for _, (low, high) in judged))
    return {
        f"retention_covers_{num_items}": round(fmean(ours), 4),
        f"retention_covers_{num_items}_min": round(min(ours), 4),
        f"retention_covers_{num_items}_max": round(max(ours), 4),
        f"plain_fieller_covers_{num_items}": round(fmean(peers), 4),
        f"plain_fieller_covers_{num_items}_min": round(min(peers), 4),
        f"plain_fieller_covers_{num_items}_max": round(max(peers), 4),
    }


def _retention_by_counts(pair: tuple[NDArray[np.bool_], NDArray[np.bool_]], chance: float) -> tuple[Any, Any]:
    candidate, baseline = pair
    counts = [int(kind.sum()) for kind in (candidate & baseline, candidate & ~baseline, baseline & ~candidate)]
    return _retention_of(*counts, num_items=len(candidate), chance=chance)


@cache
def _retention_of(both: int, gained: int, lost: int, num_items: int, chance: float) -> tuple[Any, tuple[float, float]]:
    """Return our retention, and both ends of Fieller's interval as it stands in the book."""
    neither = num_items - both - gained - lost
    candidate = np.repeat([1, 1, 0, 0], [both, gained, lost, neither])
    baseline = np.repeat([1, 0, 1, 0], [both, gained, lost, neither])
    return retention(candidate, baseline, chance=chance), _plain_fieller(candidate - chance, baseline - chance)


def _plain_fieller(above: NDArray[np.float64], below: NDArray[np.float64]) -> tuple[float, float]:
    covariance = np.cov(above, below, ddof=0) * _Z**2 / len(above)
    a = below.mean() ** 2 - covariance[1, 1]
    b = above.mean() * below.mean() - covariance[0, 1]
    c = above.mean() ** 2 - covariance[0, 0]
    if a <= 0:
        return -math.inf, math.inf
    root = math.sqrt(max(0.0, b * b - a * c))
    return (b - root) / a, (b + root) / a


if __name__ == "__main__":
    main()
