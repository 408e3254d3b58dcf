"""How often the tests of judging raise an alarm on two models that are equally good.

Question: does the default paired test keep its level of 5 % with 50, 200 and 1,000 items; and the running test, if
somebody looks at it again and again?
Method: 10,000 times, two models of accuracy 0.6 answer the same items, of which a share (the discordance) flips between
them, as often one way as the other. Each test at 5 % then says whether the models differ; every "yes" is a false alarm.
Simulated rates have a standard error of 0.22 points, so beside the default's stands `score_exact`: the same rate
summed over all outcomes, without noise. The headline discordance is 0.3 (the models' answers correlate by 0.375 over
items); 0.2 and 0.1 stand beside it, where 50 items have so few flips that no test without a lottery hits 5 %. The
running test is looked at after every single item up to 1,000, which gives it more chances to err than every 20.
Peer: the exact McNemar test (conservative by construction), the mid-p test, the bootstrap-t on the differences (up to
200 items), the unpaired two-proportion z-test; and for the running test the score test repeated after every 20 items.

Run: `python benchmarks/evaluate/bench_false_alarms.py [--seed 0] [--simulations 10000]`. Prints one JSON row and writes
it to `--output` (unless its folder is missing).
"""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from paired_items import draw_answers, exact_rate, item_correlation, parse_settings, provenance
from scipy.stats import norm

from birdbone.core import write_json
from birdbone.evaluate.statistics.pairs import Flips, exact_mcnemar, mean_difference, mid_p_mcnemar, score_mcnemar
from birdbone.evaluate.statistics.sequential import RunningMean

_OUTPUT = Path("benchmarks/results/evaluate-false_alarms.json")
_LEVEL, _ACCURACY, _HEADLINE = 0.05, 0.6, 0.3
_NUM_ITEMS, _DISCORDANCES, _MOST_FOR_BOOTSTRAP, _WAVE = (50, 200, 1000), (0.3, 0.2, 0.1), 200, 20
_TESTS: dict[str, Callable[[Flips], float]] = {
    "score": score_mcnemar,
    "mid_p": mid_p_mcnemar,
    "exact_mcnemar": exact_mcnemar,
}


def main() -> None:
    settings = parse_settings("Count false alarms on equal models.", _OUTPUT)
    begun = time.perf_counter()
    generator = np.random.default_rng(settings.seed)
    chosen = {
        "seed": settings.seed,
        "simulations": settings.simulations,
        "level": _LEVEL,
        "accuracy": _ACCURACY,
        "discordances": list(_DISCORDANCES),
        "num_items": list(_NUM_ITEMS),
    }
    row: dict[str, Any] = provenance("bench_false_alarms", chosen)
    row["item_correlation"] = round(item_correlation(_ACCURACY, _ACCURACY, _HEADLINE), 3)
    for discordance in _DISCORDANCES:
        suffix = "" if discordance == _HEADLINE else f"_discordance_{discordance}"
        for num_items in _NUM_ITEMS:
            rates = _rates(num_items, discordance, settings.simulations, generator)
            row.update({f"{name}_{num_items}{suffix}": round(rate, 4) for name, rate in rates.items()})
    row.update(_running(settings.simulations, generator))
    row["seconds"] = round(time.perf_counter() - begun, 1)
    if settings.output.parent.is_dir():
        write_json(settings.output, row)
    print(json.dumps(row, ensure_ascii=False))


def _rates(num_items: int, discordance: float, simulations: int, generator: np.random.Generator) -> dict[str, float]:
    outcomes, unpaired = _simulate(num_items, discordance, simulations, generator)
    rates = {
        name: sum(times for flips, times in outcomes.items() if test(flips) <= _LEVEL) / simulations
        for name, test in _TESTS.items()
    }
    rates["score_exact"] = exact_rate(num_items, 0.0, discordance, lambda flips: score_mcnemar(flips) <= _LEVEL)
    rates["unpaired_z"] = unpaired
    if num_items <= _MOST_FOR_BOOTSTRAP and discordance == _HEADLINE:
        alarms = sum(times for flips, times in outcomes.items() if _bootstrap_p(flips) <= _LEVEL)
        rates["bootstrap_t"] = alarms / simulations
    return rates


def _simulate(
    num_items: int, discordance: float, simulations: int, generator: np.random.Generator
) -> tuple[Counter[Flips], float]:
    """Return how often each outcome came, and the false alarms of the unpaired z-test on the same answers."""
    shape = (simulations, num_items)
    candidate, baseline = draw_answers(_ACCURACY, _ACCURACY, discordance, shape=shape, generator=generator)
    gained, lost = (candidate & ~baseline).sum(axis=1), (baseline & ~candidate).sum(axis=1)
    outcomes = Counter(
        Flips(gained=int(more), lost=int(less), num_items=num_items) for more, less in zip(gained, lost, strict=True)
    )
    pooled = (candidate.mean(axis=1) + baseline.mean(axis=1)) / 2
    error = np.sqrt(2 * pooled * (1 - pooled) / num_items)
    deviation = np.abs(candidate.mean(axis=1) - baseline.mean(axis=1)) / error
    return outcomes, float(np.mean(deviation >= norm.isf(_LEVEL / 2)))


def _bootstrap_p(flips: Flips) -> float:
    scores = np.zeros(flips.num_items)
    scores[: flips.gained], scores[flips.num_items - flips.lost :] = 1, -1
    return mean_difference(scores, np.zeros_like(scores), seed=flips.gained, num_resamples=1000).p_value


def _running(simulations: int, generator: np.random.Generator) -> dict[str, float]:
    """Return how often a look up to 1,000 items raises an alarm: of the running test, and of a repeated score test."""
    most = max(_NUM_ITEMS)
    answers = draw_answers(_ACCURACY, _ACCURACY, _HEADLINE, shape=(simulations, most), generator=generator)
    difference = answers[0].astype(np.int8) - answers[1]
    is_alarm = np.array([_alarms(values) for values in difference])
    rates = {f"running_{n}": round(float(rate), 4) for n, rate in zip(_NUM_ITEMS, is_alarm.mean(axis=0), strict=True)}
    total, flips = np.cumsum(difference, axis=1, dtype=np.int32), np.cumsum(difference != 0, axis=1, dtype=np.int32)
    looks = slice(_WAVE - 1, None, _WAVE)
    is_alarm = np.abs(total[:, looks]) > norm.isf(_LEVEL / 2) * np.sqrt(flips[:, looks])
    rates[f"score_repeated_{most}"] = round(float(np.mean(is_alarm.any(axis=1))), 4)
    return rates


def _alarms(values: np.ndarray) -> list[bool]:
    """Return whether an alarm has been raised, ever, by each of the numbers of items."""
    running = RunningMean(num_means=3)  # the e-value needs no grid
    is_alarm = []
    for wave in np.split(values, _NUM_ITEMS[:-1]):
        running.update(wave)
        is_alarm.append(running.p_value <= _LEVEL)
    return is_alarm


if __name__ == "__main__":
    main()
