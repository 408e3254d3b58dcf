"""Two models with known accuracies on the same items, drawn, for the benchmarks of the statistics of judging.

An item falls into one of four kinds: right with both models, gained, lost, wrong with both. The accuracies and the
discordance (the share that is gained or lost) fix the chance of each; the items are independent of each other.
"""

from __future__ import annotations

import argparse
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.stats import binom

from birdbone.core import digest_json
from birdbone.evaluate.statistics.pairs import Flips
from birdbone.watch import describe_hardware


def draw_answers(
    candidate: float, baseline: float, discordance: float, *, shape: tuple[int, ...], generator: np.random.Generator
) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Return the right answers of candidate and baseline, of `shape`, whose accuracies and discordance are as given."""
    gained = (discordance + candidate - baseline) / 2
    lost = discordance - gained
    drawn = generator.random(shape, dtype=np.float32)
    kinds = np.searchsorted(np.cumsum([gained, lost, candidate - gained]), drawn, side="right")
    return (kinds == 0) | (kinds == 2), (kinds == 1) | (kinds == 2)


def item_correlation(candidate: float, baseline: float, discordance: float) -> float:
    """Return the correlation of the two models' answers over items."""
    both = candidate - (discordance + candidate - baseline) / 2
    covariance = both - candidate * baseline
    return covariance / float(np.sqrt(candidate * (1 - candidate) * baseline * (1 - baseline)))


def all_flips(num_items: int, difference: float, discordance: float) -> Iterator[tuple[Flips, float]]:
    """Yield every outcome of `num_items` items with its chance; those rarer than 1 in 10^10 are left out."""
    gained_share = (1 + difference / discordance) / 2
    for num_flips, chance in enumerate(binom.pmf(np.arange(num_items + 1), num_items, discordance)):
        if chance < 1e-10:
            continue
        gained = np.arange(num_flips + 1)
        for number, share in zip(gained, binom.pmf(gained, num_flips, gained_share), strict=True):
            if chance * share >= 1e-10:
                flips = Flips(gained=int(number), lost=num_flips - int(number), num_items=num_items)
                yield flips, float(chance * share)


def exact_rate(num_items: int, difference: float, discordance: float, rejects: Callable[[Flips], bool]) -> float:
    """Return the chance that `rejects` is true, over all outcomes: no simulation, no noise."""
    return sum(chance for flips, chance in all_flips(num_items, difference, discordance) if rejects(flips))


def parse_settings(description: str, output: Path) -> argparse.Namespace:
    """Return seed, number of simulations and output."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--simulations", type=int, default=10_000)
    parser.add_argument("--output", type=Path, default=output)
    return parser.parse_args()


def provenance(bench: str, chosen: dict[str, Any]) -> dict[str, Any]:
    """Return where a row comes from."""
    head = subprocess.run(["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=False)
    return {
        "bench": f"evaluate/{bench}",
        "commit": head.stdout.strip(),
        "machine": describe_hardware().cpu_model,
        "settings": chosen,
        "settings_digest": digest_json(chosen),
    }
