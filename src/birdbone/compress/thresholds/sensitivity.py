"""How much each setting matters to the loss: functional analysis of variance over the trials of a search."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import optuna
from optuna.importance import FanovaImportanceEvaluator
from optuna.trial import FrozenTrial

MIN_TRIALS = 12
"""Fewer finished trials say nothing of what matters."""

NUM_RESAMPLES = 10
_NUM_TREES = 16


@dataclass(frozen=True, slots=True, kw_only=True)
class Influence:
    """Share of the loss's variation that a setting explains by itself, with the middle 80 % over resampled trials."""

    setting: str
    share: float
    low: float
    high: float
    num_trials: int


def measure_influence(finished: Sequence[FrozenTrial], *, seed: int) -> tuple[Influence, ...]:
    """Return the influence of every setting, the largest first; nothing from fewer than `MIN_TRIALS` finished trials.

    The shares come to at most 1: what is left is the interplay of settings. Trials are resampled with replacement for
    the interval; resamples are few, so that it is wide, and 80 % is what so few can show.

    Args:
        finished: trials of one search; of two objectives, the loss counts.
        seed: of the resampling and of the trees.
    Source: Hutter, Hoos and Leyton-Brown 2014 (fANOVA), as in Optuna.
    """
    varied = [name for name in finished[0].params if len({trial.params[name] for trial in finished}) > 1]
    if len(finished) < MIN_TRIALS or len({trial.values[-1] for trial in finished}) < 2 or not varied:
        return ()
    generator = np.random.default_rng(seed)
    whole = _shares(finished, seed)
    drawn = [
        _shares([finished[place] for place in generator.integers(0, len(finished), len(finished))], seed + step)
        for step in range(NUM_RESAMPLES)
    ]
    found = []
    for name, share in sorted(whole.items(), key=lambda item: -item[1]):
        low, high = np.quantile([shares.get(name, 0.0) for shares in drawn], [0.1, 0.9])
        found.append(Influence(setting=name, share=share, low=float(low), high=float(high), num_trials=len(finished)))
    return tuple(found)


def _shares(trials: Sequence[FrozenTrial], seed: int) -> dict[str, float]:
    study = optuna.create_study(direction="minimize")
    study.add_trials(
        [
            optuna.trial.create_trial(
                params=trial.params, distributions=trial.distributions, value=float(trial.values[-1])
            )
            for trial in trials
        ]
    )
    if len({trial.values[-1] for trial in trials}) < 2:
        return dict.fromkeys(trials[0].params, 0.0)
    evaluator = FanovaImportanceEvaluator(n_trees=_NUM_TREES, seed=seed)
    return {name: float(share) for name, share in evaluator.evaluate(study).items()}
