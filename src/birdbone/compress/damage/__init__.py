"""Damage: what a change did to each layer, where it arrives, how bad it is, who is healed first, what a wave will cost.

`drift` and `patching` measure, `integrity` looks at the weights, `ranking` finds the injured layer, `severity` and
`priority` judge and plan, `prediction` forecasts. Settings in `compress/config/damage.py`.
"""

from birdbone.compress.damage.drift import DamageProfile, Drift, linear_cka, measure_drift, own_errors
from birdbone.compress.damage.integrity import (
    IntegrityFinding,
    check_integrity,
    dead_findings,
    dead_neurons,
    effective_rank,
    weight_changes,
)
from birdbone.compress.damage.patching import PatchReport, patch_layers
from birdbone.compress.damage.prediction import Forecast, WaveRecord, forecast_wave
from birdbone.compress.damage.priority import HealingTask, allocate_steps, healing_queue
from birdbone.compress.damage.propagation import Spread, gain_map, spreads
from birdbone.compress.damage.ranking import LayerEvidence, RankedLayer, rank_layers
from birdbone.compress.damage.severity import LayerSeverity, Severity, calibrate_mild, class_of, classify
from birdbone.compress.damage.wave_features import wave_features

__all__ = [
    "DamageProfile",
    "Drift",
    "Forecast",
    "HealingTask",
    "IntegrityFinding",
    "LayerEvidence",
    "LayerSeverity",
    "PatchReport",
    "RankedLayer",
    "Severity",
    "Spread",
    "WaveRecord",
    "allocate_steps",
    "calibrate_mild",
    "check_integrity",
    "class_of",
    "classify",
    "dead_findings",
    "dead_neurons",
    "effective_rank",
    "forecast_wave",
    "gain_map",
    "healing_queue",
    "linear_cka",
    "measure_drift",
    "own_errors",
    "patch_layers",
    "rank_layers",
    "spreads",
    "wave_features",
    "weight_changes",
]
