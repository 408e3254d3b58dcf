"""What is gained by asking both models the same questions.

Question: how much oftener does the paired test find a real loss than the usual test of two proportions?
Method: a baseline of accuracy 0.60 and a candidate of 0.52 answer the same 200 items, of which 20 % flip between them
(their answers correlate by 0.6 over items); 10,000 times. The power is the share in which a test at 5 % finds them
different. `paired_exact` is the same rate summed over all outcomes. Beside: what `statistics.power` predicts, and
how many items the running test, which may be looked at any time, needs (stopping at 1,000).
Peer: the unpaired two-proportion z-test with pooled variance, on the same answers and on two independent draws of 200
items each, as if each model had been given items of its own; the exact McNemar test.

Run: `python benchmarks/evaluate/bench_paired_power.py [--seed 0] [--simulations 10000]`. Prints one JSON row and writes
it to `--output` (unless its folder is missing).
"""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from paired_items import draw_answers, exact_rate, item_correlation, parse_settings, provenance
from scipy.stats import norm

from birdbone.core import write_json
from birdbone.evaluate.statistics.pairs import Flips, exact_mcnemar, score_mcnemar
from birdbone.evaluate.statistics.power import detectable_difference, num_items_needed, paired_power
from birdbone.evaluate.statistics.sequential import RunningMean

_OUTPUT = Path("benchmarks/results/evaluate-paired_power.json")
_LEVEL, _NUM_ITEMS, _MOST = 0.05, 200, 1000
_CANDIDATE, _BASELINE, _DISCORDANCE = 0.52, 0.60, 0.20


def main() -> None:
    settings = parse_settings("Compare the power of paired and unpaired tests.", _OUTPUT)
    begun = time.perf_counter()
    generator = np.random.default_rng(settings.seed)
    chosen = {
        "seed": settings.seed,
        "simulations": settings.simulations,
        "level": _LEVEL,
        "num_items": _NUM_ITEMS,
        "accuracies": [_CANDIDATE, _BASELINE],
        "discordance": _DISCORDANCE,
    }
    row: dict[str, Any] = provenance("bench_paired_power", chosen)
    row["item_correlation"] = round(item_correlation(_CANDIDATE, _BASELINE, _DISCORDANCE), 3)
    row.update(_powers(settings.simulations, generator))
    row.update(_plans())
    row.update(_running(settings.simulations // 10, generator))
    row["seconds"] = round(time.perf_counter() - begun, 1)
    if settings.output.parent.is_dir():
        write_json(settings.output, row)
    print(json.dumps(row, ensure_ascii=False))


def _powers(simulations: int, generator: np.random.Generator) -> dict[str, float]:
    shape = (simulations, _NUM_ITEMS)
    candidate, baseline = draw_answers(_CANDIDATE, _BASELINE, _DISCORDANCE, shape=shape, generator=generator)
    other = generator.random(shape) < _BASELINE
    gained, lost = (candidate & ~baseline).sum(axis=1), (baseline & ~candidate).sum(axis=1)
    outcomes = [
        Flips(gained=int(more), lost=int(less), num_items=_NUM_ITEMS) for more, less in zip(gained, lost, strict=True)
    ]
    paired = float(np.mean([score_mcnemar(flips) <= _LEVEL for flips in outcomes]))
    same, independent = _unpaired_power(candidate, baseline), _unpaired_power(candidate, other)
    difference = _CANDIDATE - _BASELINE
    return {
        "paired": round(paired, 4),
        "paired_exact": round(exact_rate(_NUM_ITEMS, difference, _DISCORDANCE, _is_found), 4),
        "exact_mcnemar": round(float(np.mean([exact_mcnemar(flips) <= _LEVEL for flips in outcomes])), 4),
        "unpaired_same_items": round(same, 4),
        "unpaired_independent_items": round(independent, 4),
        "paired_over_unpaired_same_items": round(paired / same, 3),
        "paired_over_unpaired_independent_items": round(paired / independent, 3),
    }


def _is_found(flips: Flips) -> bool:
    return score_mcnemar(flips) <= _LEVEL


def _unpaired_power(candidate: NDArray[np.bool_], baseline: NDArray[np.bool_]) -> float:
    ours, theirs = candidate.mean(axis=1), baseline.mean(axis=1)
    pooled = (ours + theirs) / 2
    error = np.sqrt(2 * pooled * (1 - pooled) / candidate.shape[1])
    return float(np.mean(np.abs(ours - theirs) >= norm.isf(_LEVEL / 2) * error))


def _plans() -> dict[str, float | None]:
    difference = _CANDIDATE - _BASELINE
    predicted = paired_power(difference, num_items=_NUM_ITEMS, discordance=_DISCORDANCE)
    detectable = detectable_difference(_NUM_ITEMS, discordance=_DISCORDANCE)
    return {
        "paired_predicted": round(predicted, 4),
        "detectable_difference_at_power_0.8": None if detectable is None else round(detectable, 4),
        "num_items_needed_at_power_0.8": num_items_needed(difference, discordance=_DISCORDANCE),
    }


def _running(simulations: int, generator: np.random.Generator) -> dict[str, float | int]:
    """Return how often the running test has found the loss by 1,000 items, and after how many, looking every 20."""
    answers = draw_answers(_CANDIDATE, _BASELINE, _DISCORDANCE, shape=(simulations, _MOST), generator=generator)
    stops = [_stop(values) for values in answers[0].astype(np.int8) - answers[1]]
    found = [stop for stop in stops if stop is not None]
    return {
        "running_num_simulations": simulations,
        "running_found_by_200": round(sum(stop <= _NUM_ITEMS for stop in found) / simulations, 4),
        "running_found_by_1000": round(len(found) / simulations, 4),
        "running_num_items_median": int(np.median([_MOST if stop is None else stop for stop in stops])),
    }


def _stop(values: np.ndarray) -> int | None:
    running = RunningMean(num_means=3)
    for begin in range(0, _MOST, 20):
        running.update(values[begin : begin + 20])
        if running.p_value <= _LEVEL:
            return running.num_values
    return None


if __name__ == "__main__":
    main()
