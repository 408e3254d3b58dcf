"""Which function each kind of step is. The one place where an import waits until it is needed.

A kind has a pure `next_round`, which says from the rounds so far whether another is due (waves and cuts have many, all
other steps one), and a function that does a round. The function's module, and with it torch, loads when it is first
called.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, cast, get_args

from birdbone.compress import cut_shares, next_wave
from birdbone.pipeline.context import StepContext, StepResult
from birdbone.pipeline.errors import UnknownStepError
from birdbone.pipeline.recipe import ShedStep, StepSettings, WavesStep
from birdbone.pipeline.wave_history import STOPPED, wave_outcomes

StepFunction = Callable[[StepContext, Any], StepResult]


@dataclass(frozen=True, slots=True, kw_only=True)
class StepKind:
    """One kind of step: the module in `pipeline/steps/` that does it, and whether another round is due."""

    module: str
    has_next_round: Callable[[Any, Sequence[StepResult]], bool]


def _once(_settings: Any, rounds: Sequence[StepResult]) -> bool:
    return not rounds


def _while_waves_hold(settings: WavesStep, rounds: Sequence[StepResult]) -> bool:
    notes = [result.notes for result in rounds]
    if notes and notes[-1]["verdict"] == STOPPED:
        return False
    return next_wave(wave_outcomes(notes, settings), settings).fraction is not None


def _while_cuts_hold(settings: ShedStep, rounds: Sequence[StepResult]) -> bool:
    return len(rounds) < len(cut_shares(settings)) and (not rounds or rounds[-1].notes["verdict"] == "good")


CATALOGUE: dict[str, StepKind] = {
    "seed": StepKind(module="seed", has_next_round=_once),
    "shed": StepKind(module="shed", has_next_round=_while_cuts_hold),
    "log_activations": StepKind(module="activations", has_next_round=_once),
    "waves": StepKind(module="waves", has_next_round=_while_waves_hold),
    "quantize": StepKind(module="quantize", has_next_round=_once),
    "low_rank": StepKind(module="low_rank", has_next_round=_once),
    "export": StepKind(module="export", has_next_round=_once),
    "judge": StepKind(module="judge", has_next_round=_once),
    "version": StepKind(module="version", has_next_round=_once),
}


def find_kind(kind: str) -> StepKind:
    """Return the catalogue's entry for a kind.

    Raises:
        UnknownStepError: there is none (names those there are).
    """
    if kind not in CATALOGUE:
        raise UnknownStepError(f"No step is called {kind!r}; there are {', '.join(CATALOGUE)}.")
    return CATALOGUE[kind]


def load_step(kind: str) -> StepFunction:
    """Return the function of a kind, loading its module now."""
    module = importlib.import_module(f"birdbone.pipeline.steps.{find_kind(kind).module}")
    return cast(StepFunction, module.run)


def settings_types() -> dict[str, type[Any]]:
    """Return the settings class of each kind, in the order of the catalogue."""
    union = get_args(get_args(StepSettings)[0])
    by_kind = {get_args(cls.model_fields["kind"].annotation)[0]: cls for cls in union}
    return {kind: by_kind[kind] for kind in CATALOGUE}
