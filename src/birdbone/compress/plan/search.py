"""The search for plans that no other beats in bytes, time and loss.

Theory of operation. A plan is a few choices: how much goes by each kind of cut, the bits, the type of the embedding,
healing or not. A forecast of one takes milliseconds, so NSGA-II looks at some hundreds, beginning with all plans that
only round. What goes together is decided by `compatibility`, so the search never sees a plan that cannot be made. The
front is taken over every plan that was looked at.
Source: Deb et al. 2002 (NSGA-II), as in Optuna (Akiba et al. 2019, arXiv:1907.10902).
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import product
from math import floor

import optuna

from birdbone.compress.config import BlockType, CutKind
from birdbone.compress.errors import BitsBudgetError, ShareOutOfReachError
from birdbone.compress.plan.compatibility import Ground, find_objections
from birdbone.compress.plan.forecast import Forecast, Forecaster
from birdbone.compress.plan.front import costs_of, front_of
from birdbone.compress.plan.layout import Drafter
from birdbone.compress.plan.probes import reach_of
from birdbone.compress.plan.techniques import Bits, Cut, Heal, Plan, Step

_CUT_LEVELS = 10
_ROUNDING = 1e-4
_EXCESS = "excess"


@dataclass(frozen=True, slots=True, kw_only=True)
class PlanSpace:
    """Choices of each gene of a plan; the first of each leaves the technique out."""

    shares: dict[CutKind, tuple[float, ...]]
    bits: tuple[float, ...]
    embeddings: tuple[BlockType, ...]
    num_healing_steps: int
    ground: Ground

    def plan(self, genes: dict[str, int]) -> Plan:
        """Return the plan that genes (indices of choices) say, without steps that cannot be or bring nothing."""
        steps: list[Step] = [
            Cut(pattern=kind, share=shares[genes[kind]]) for kind, shares in self.shares.items() if genes.get(kind)
        ]
        if genes.get("heal") and self.num_healing_steps:
            steps.append(Heal(num_steps=self.num_healing_steps))
        if genes.get("bits"):
            bits = self.bits[genes["bits"] - 1]
            steps.append(Bits(bits_per_weight=bits, embedding=self.embeddings[genes["embedding"]]))
        return _without_objections(Plan(steps=tuple(steps)), self.ground)


@dataclass(frozen=True, slots=True, kw_only=True)
class SearchResult:
    """Every plan that was looked at, and those that no other beats."""

    forecasts: tuple[Forecast, ...]
    front: tuple[Forecast, ...] = field(repr=False)
    num_trials: int = 0


def plan_space(forecaster: Forecaster, ground: Ground) -> PlanSpace:
    """Return what can be chosen for this model: shares that may go, bits that its types can keep."""
    drafter = forecaster.drafter
    config = drafter.config
    shares = {kind: (0.0, *levels) for kind in config.cuts if (levels := _levels(drafter, kind))}
    least, most = drafter.bounds_of_bits
    bits = tuple(value for value in config.bits if least <= value <= most)
    return PlanSpace(
        shares=shares,
        bits=bits,
        embeddings=config.embeddings,
        num_healing_steps=config.num_healing_steps,
        ground=ground,
    )


def _levels(drafter: Drafter, kind: CutKind) -> tuple[float, ...]:
    """Return shares that one kind of cut really reaches, a step apart at least: a layer goes whole or stays."""
    reach, total, found = reach_of(drafter, kind), drafter.graph.num_decoder_parameters, dict[float, None]()
    for level in range(1, _CUT_LEVELS + 1):
        layout = drafter.draft(Plan(steps=(Cut(pattern=kind, share=reach * level / _CUT_LEVELS),)))
        gone = drafter.graph.num_parameters(layout.structures) / total
        found[floor(gone / _ROUNDING) * _ROUNDING] = None  # downwards, so that the same structures go
    return tuple(round(share, 4) for share in found if share > 0)


def search_plans(
    forecaster: Forecaster,
    space: PlanSpace,
    *,
    progress: Callable[[int, int], None] = lambda _done, _total: None,
) -> SearchResult:
    """Return the plans that were looked at and their front. The same forecaster and seed give the same.

    Args:
        progress: called with plans looked at and plans in all.
    """
    config, known = forecaster.drafter.config, dict[str, Forecast]()
    study = _open_study(config.population, config.seed)
    for genes in ({"bits": 0, "embedding": 0}, *_only_rounding(space)):
        study.enqueue_trial({**dict.fromkeys(space.shares, 0), "heal": 0, **genes})
    for number in range(config.num_trials):
        trial = study.ask()
        plan = space.plan(_draw(trial, space))
        found = known.get(plan.digest) or _forecast(forecaster, plan)
        if found is None:
            study.tell(trial, state=optuna.trial.TrialState.FAIL)
        else:
            known[plan.digest] = found
            trial.set_user_attr(_EXCESS, found.rise.value - config.max_rise)
            study.tell(trial, costs_of(found))
        progress(number + 1, config.num_trials)
    useful = [found for found in known.values() if found.rise.value <= config.max_rise]
    return SearchResult(forecasts=tuple(useful), front=front_of(useful), num_trials=config.num_trials)


def _only_rounding(space: PlanSpace) -> list[dict[str, int]]:
    pairs = product(range(len(space.bits)), range(len(space.embeddings)))
    return [{"bits": bits + 1, "embedding": embedding} for bits, embedding in pairs]


def _draw(trial: optuna.Trial, space: PlanSpace) -> dict[str, int]:
    genes: dict[str, int] = {kind: trial.suggest_int(kind, 0, len(shares) - 1) for kind, shares in space.shares.items()}
    genes["bits"] = trial.suggest_int("bits", 0, len(space.bits))
    genes["embedding"] = trial.suggest_int("embedding", 0, len(space.embeddings) - 1)
    genes["heal"] = trial.suggest_int("heal", 0, 1)
    return genes


def _forecast(forecaster: Forecaster, plan: Plan) -> Forecast | None:
    try:
        return forecaster.forecast(plan)
    except (ShareOutOfReachError, BitsBudgetError):
        return None


def _open_study(population: int, seed: int) -> optuna.Study:
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", category=optuna.exceptions.ExperimentalWarning)
        sampler = optuna.samplers.NSGAIISampler(population_size=population, seed=seed, constraints_func=_excess)
    return optuna.create_study(directions=["minimize"] * 3, sampler=sampler)


def _excess(trial: optuna.trial.FrozenTrial) -> Sequence[float]:
    return (float(trial.user_attrs.get(_EXCESS, 0.0)),)


def _without_objections(plan: Plan, ground: Ground) -> Plan:
    """Return the plan without the steps that something speaks against, one after another."""
    while objections := find_objections(plan, ground):
        refused = objections[0].step
        place = max(number for number, step in enumerate(plan.steps) if step.words == refused)
        plan = Plan(steps=(*plan.steps[:place], *plan.steps[place + 1 :]))
    return plan
