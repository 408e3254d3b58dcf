"""The search for thresholds by feedback: which signs of load should count, by the loss that they lead to.

Theory of operation. What is searched is small whatever the number of clusters: the weight of each sign of load and the
spread. Every trial sheds the same number of weights, since `decide_fractions` holds the target; the first trial is the
even share for all (spread 0), the second the settings that the search starts from, so the best can lose to neither on
the text of the search. TPE models which settings did well; a trial whose loss on the windows so far is above the median
of earlier trials at that point is cut short. Where size is searched too, NSGA-II keeps a front of size against loss.
Source: Bergstra et al. 2011 (TPE), Deb et al. 2002 (NSGA-II), as in Optuna (Akiba et al. 2019, arXiv:1907.10902).
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

import optuna
from optuna.storages import BaseStorage
from optuna.trial import FrozenTrial, TrialState

from birdbone.compress.config import HealthWeights, ThresholdConfig, TuneConfig
from birdbone.compress.thresholds.history import open_study
from birdbone.compress.thresholds.sensitivity import Influence, measure_influence

RunningLoss = Callable[[ThresholdConfig, float], Iterator[tuple[int, float]]]
"""Given settings and the share to shed, yields windows done and the loss so far; the last is the trial's loss."""

Fate = Literal["finished", "cut short", "failed"]

_FATES: dict[TrialState, Fate] = {TrialState.COMPLETE: "finished", TrialState.PRUNED: "cut short"}
_SHED = "shed"


@dataclass(frozen=True, slots=True, kw_only=True)
class Trial:
    """One trial: what was tried, and what it came to. A trial that was cut short has no loss."""

    number: int
    settings: Mapping[str, float]
    fate: Fate
    loss: float | None
    shed: float


@dataclass(frozen=True, slots=True, kw_only=True)
class TuneResult:
    """What a search came to.

    Attributes:
        best: the settings of the least loss; of a search for size too, of the least loss at the target's size or less.
        even_loss: loss of the even share on the same text; None if that trial is not among them.
        convergence: least loss after each finished trial.
        front: trials that no other beats in both size and loss; of one objective, the best alone.
        influence: how much of the loss's variation each setting explains.
        ended_by: why no further trial was made.
    """

    best: ThresholdConfig
    best_loss: float
    even_loss: float | None
    trials: tuple[Trial, ...]
    convergence: tuple[float, ...]
    front: tuple[Trial, ...]
    influence: tuple[Influence, ...]
    ended_by: Literal["all trials made", "no gain", "stopped"]


def tune_thresholds(
    loss: RunningLoss,
    start: ThresholdConfig,
    config: TuneConfig,
    *,
    target: float,
    storage: BaseStorage,
    basis: Mapping[str, Any],
    is_damage_known: bool = False,
    should_stop: Callable[[], bool] = lambda: False,
    progress: Callable[[int, int], None] = lambda _done, _total: None,
) -> TuneResult:
    """Return the settings that lead to the least loss, and the whole search. A stopped search can be resumed.

    Args:
        loss: measured on text that is not judged on later.
        start: settings that are kept but for the weights and the spread.
        target: share of the weights that is shed.
        storage: from `open_history`; trials that it holds are not made again.
        basis: what the loss depends on beside what is searched; a history on another basis is refused.
        is_damage_known: whether damage is among the signs, so that its weight is searched.
        should_stop: asked after each trial.
        progress: called with trials made and trials in all.

    Raises:
        OtherHistoryError: the history is of another search.
        whatever `loss` raises.
    """
    study = _open(storage, start, config, target=target, basis=basis)
    _enqueue(study, start, config, target=target, is_damage_known=is_damage_known)
    ended_by: Literal["all trials made", "no gain", "stopped"] = "all trials made"
    while (done := len(_made(study))) < config.num_trials:
        progress(done, config.num_trials)
        if done and should_stop():
            ended_by = "stopped"
            break
        if _has_stalled(study, config):
            ended_by = "no gain"
            break
        _try_once(study, loss, start, config, target=target, is_damage_known=is_damage_known)
    progress(len(_made(study)), config.num_trials)
    return _result(study, start, config, target=target, ended_by=ended_by)


def _open(
    storage: BaseStorage, start: ThresholdConfig, config: TuneConfig, *, target: float, basis: Mapping[str, Any]
) -> optuna.Study:
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    is_front = config.objective == "size-loss"
    num_known = len(storage.get_all_trials(storage.get_all_studies()[0]._study_id)) if storage.get_all_studies() else 0
    seed = config.seed + num_known  # a session that goes on must not draw again what the one before it drew
    whole_basis = {**basis, "start": start.model_dump(mode="json"), "target": target, "objective": config.objective}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", category=optuna.exceptions.ExperimentalWarning)
        sampler: optuna.samplers.BaseSampler = (
            optuna.samplers.NSGAIISampler(population_size=max(4, config.num_startup_trials), seed=seed)
            if is_front
            else optuna.samplers.TPESampler(n_startup_trials=config.num_startup_trials, multivariate=True, seed=seed)
        )
    return open_study(
        storage,
        basis=whole_basis,
        directions=["minimize", "minimize"] if is_front else ["minimize"],
        sampler=sampler,
        pruner=optuna.pruners.MedianPruner(n_startup_trials=config.num_startup_trials),
    )


def _enqueue(
    study: optuna.Study, start: ThresholdConfig, config: TuneConfig, *, target: float, is_damage_known: bool
) -> None:
    """Put the even share and the starting settings first."""
    weights = start.weights.model_dump()
    names = [name for name in weights if name != "damage" or is_damage_known]
    known = {name: min(2.0, max(-2.0, weights[name])) for name in names}
    shed = {_SHED: target} if config.objective == "size-loss" else {}
    for spread in (0.0, min(start.spread, config.max_spread)):
        study.enqueue_trial({**known, "spread": spread, **shed}, skip_if_exists=True)


def _try_once(
    study: optuna.Study,
    loss: RunningLoss,
    start: ThresholdConfig,
    config: TuneConfig,
    *,
    target: float,
    is_damage_known: bool,
) -> None:
    trial = study.ask()
    names = [name for name in HealthWeights.model_fields if name != "damage" or is_damage_known]
    chosen = {name: trial.suggest_float(name, -2.0, 2.0) for name in names}
    chosen["spread"] = trial.suggest_float("spread", 0.0, config.max_spread)
    shed = target
    if config.objective == "size-loss":
        shift = config.max_target_shift
        shed = trial.suggest_float(_SHED, max(0.0, target - shift), min(start.high, target + shift))
    try:
        value = _follow(trial, loss(settings_of(start, chosen), shed), may_cut=config.objective == "loss")
    except BaseException:
        study.tell(trial, state=TrialState.FAIL)
        raise
    if value is None:
        study.tell(trial, state=TrialState.PRUNED)
    else:
        study.tell(trial, [1 - shed, value] if config.objective == "size-loss" else value)


def settings_of(start: ThresholdConfig, chosen: Mapping[str, float]) -> ThresholdConfig:
    """Return the settings of a trial: those of `start` but for the weights and the spread."""
    weights = {name: value for name, value in chosen.items() if name in HealthWeights.model_fields}
    return start.model_copy(
        update={"spread": chosen["spread"], "weights": start.weights.model_copy(update=dict(weights))}
    )


def _follow(trial: optuna.Trial, losses: Iterator[tuple[int, float]], *, may_cut: bool) -> float | None:
    value = None
    for step, value in losses:
        if may_cut:
            trial.report(value, step)
            if trial.should_prune():
                return None
    return value


def _made(study: optuna.Study) -> list[FrozenTrial]:
    return study.get_trials(deepcopy=False, states=tuple(_FATES))


def _loss_of(trial: FrozenTrial) -> float:
    return float(trial.values[-1])


def _has_stalled(study: optuna.Study, config: TuneConfig) -> bool:
    """Return whether the last `patience` trials, cut short or not, brought no better loss than those before."""
    made = _made(study)
    earlier, later = made[: -config.patience], made[-config.patience :]
    before = [_loss_of(trial) for trial in earlier if trial.state == TrialState.COMPLETE]
    if config.objective != "loss" or not before:
        return False
    after = [_loss_of(trial) for trial in later if trial.state == TrialState.COMPLETE]
    return min(after, default=float("inf")) > min(before) - config.min_gain


def _result(
    study: optuna.Study,
    start: ThresholdConfig,
    config: TuneConfig,
    *,
    target: float,
    ended_by: Literal["all trials made", "no gain", "stopped"],
) -> TuneResult:
    finished = [trial for trial in _made(study) if trial.state == TrialState.COMPLETE]
    small = [trial for trial in finished if _shed_of(trial, target) >= target - 1e-9]
    best = min(small, key=_loss_of)
    even = [trial for trial in small if trial.params["spread"] == 0.0]
    losses = [_loss_of(trial) for trial in finished]
    return TuneResult(
        best=settings_of(start, best.params),
        best_loss=_loss_of(best),
        even_loss=_loss_of(even[0]) if even else None,
        trials=tuple(_trial(trial, target) for trial in study.get_trials(deepcopy=False) if trial.state in _FATES),
        convergence=tuple(min(losses[: number + 1]) for number in range(len(losses))),
        front=tuple(sorted((_trial(trial, target) for trial in study.best_trials), key=lambda trial: trial.shed)),
        influence=measure_influence(finished, seed=config.seed),
        ended_by=ended_by,
    )


def _shed_of(trial: FrozenTrial, target: float) -> float:
    return float(trial.params.get(_SHED, target))


def _trial(trial: FrozenTrial, target: float) -> Trial:
    return Trial(
        number=trial.number,
        settings={name: float(value) for name, value in trial.params.items()},
        fate=_FATES[trial.state],
        loss=_loss_of(trial) if trial.state == TrialState.COMPLETE else None,
        shed=_shed_of(trial, target),
    )
