"""What a wave is to be, by the waves before it: its plan, its forecast, and what comes after it."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from birdbone.compress import WavePlan, find_emergency, next_wave
from birdbone.compress.config import ImportanceConfig, StopLossConfig
from birdbone.compress.damage import WaveRecord, forecast_wave, wave_features
from birdbone.compress.statistics import InputStatistics
from birdbone.compress.waves import Masks
from birdbone.models import LoadedModel
from birdbone.pipeline.context import StepContext, StepResult
from birdbone.pipeline.recipe import WavesStep
from birdbone.pipeline.wave_history import wave_outcomes

Notes = Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Foresight:
    """What a wave's features are read from, beside the masks."""

    state: LoadedModel
    statistics: Mapping[str, InputStatistics]
    importance: ImportanceConfig


def plan_wave(context: StepContext, settings: WavesStep) -> WavePlan:
    """Return the plan of this wave: a function of the waves before it."""
    return next_wave(wave_outcomes(_notes(context), settings), settings)


def planned_settings(settings: WavesStep, plan: WavePlan) -> WavesStep:
    """Return the settings of the step with the size and the healing that the plan gives this wave."""
    shed = settings.shed.model_copy(update={"fraction": plan.fraction or settings.shed.fraction})
    heal = settings.heal.model_copy(update={"num_steps": round(settings.heal.num_steps * plan.healing_factor)})
    return settings.model_copy(update={"shed": shed, "heal": heal})


def foresee(context: StepContext, plan: WavePlan, foresight: Foresight | None, masks: Masks) -> dict[str, Any]:
    """Return what is noted of a wave before it is made: its plan, its features, and its forecast, if there is one.

    Without `foresight` there are neither features nor a forecast: to look at every weight once more takes time.
    """
    plain = {"fraction": plan.fraction, "healing_factor": plan.healing_factor, "plan_reason": plan.reason}
    if foresight is None:
        return plain
    features = _features(foresight, masks, plan, _notes(context))
    return plain | {"features": features, "forecast": _forecast(_notes(context), features)}


def stop_loss_of(settings: WavesStep) -> StopLossConfig:
    """Return when a wave is undone: under adaptive control at once, as the next one tries again with less."""
    if settings.control.kind == "adaptive":
        return settings.stop_loss.model_copy(update={"patience": 1})
    return settings.stop_loss


def is_last_wave(context: StepContext, settings: WavesStep, notes: Notes) -> bool:
    """Return whether no wave can come after this one, whatever its verdict.

    Args:
        notes: of this wave, which has none yet.
    """
    outcomes = wave_outcomes([*_notes(context), {**notes, "verdict": "probation"}], settings)
    return len(outcomes) >= settings.max_waves or find_emergency(outcomes, settings) is not None


def with_next_wave(
    context: StepContext, settings: WavesStep, result: StepResult, *, foresight: Foresight | None, masks: Masks
) -> StepResult:
    """Return a wave's result with the plan of the next one, and its forecast if it goes on from this state."""
    notes = [*_notes(context), result.notes]
    plan = next_wave(wave_outcomes(notes, settings), settings)
    told: dict[str, Any] = asdict(plan)
    if foresight is not None and plan.fraction is not None and result.notes["verdict"] != "undone":
        told["forecast"] = _forecast(notes, _features(foresight, masks, plan, notes))
    return result.model_copy(update={"notes": {**result.notes, "next_wave": told}})


def _notes(context: StepContext) -> list[Notes]:
    return [result.notes for result in context.history]


def _features(foresight: Foresight, masks: Masks, plan: WavePlan, notes: Sequence[Notes]) -> dict[str, float]:
    damage = [each["damage_by_layer"]["own"] for each in notes if "damage_by_layer" in each]
    sensitivity = {layer: value for layer, value in enumerate(damage[-1] if damage else ()) if value is not None}
    return wave_features(
        foresight.state.model,
        foresight.state.architecture,
        masks=masks,
        statistics=foresight.statistics,
        importance=foresight.importance,
        fraction=plan.fraction or 0.0,
        sensitivity=sensitivity,
    )


def _forecast(notes: Sequence[Notes], features: Mapping[str, float]) -> dict[str, Any] | None:
    """Return what the waves so far foretell of one with these features, as plain data; None if they are too few."""
    made = [each for each in notes if "features" in each]
    records = [WaveRecord(features=each["features"], rise=_in_nats(each["step_rise"])) for each in made]
    forecast = forecast_wave(records, features)
    return None if forecast is None else asdict(forecast)


def _in_nats(rise: float | None) -> float:
    return math.nan if rise is None or not rise > -1 else math.log1p(rise)
