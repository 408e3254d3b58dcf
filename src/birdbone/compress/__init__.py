"""The bird-bone craft: removing what carries no load, mending what that hurt, and giving the rest the bits it needs.

Owns: statistics of activations, importance, growth plates, shedding, masks and their budget, refit, clusters and their
thresholds, healing, regrowth, the stop-loss, the control of waves,
damage, loss spikes, quantization, low-rank correction; their settings (`config/`). Needs: torch, `models`, `train`,
`evaluate`. It knows nothing of runs, files or screens.

What needs torch is imported from its own module (`birdbone.compress.waves`, `birdbone.compress.statistics`, ...), so
that a recipe is checked without it.
"""

from birdbone.compress.config import LowRankConfig, QuantizeConfig, ShedStructuresConfig, WavesConfig
from birdbone.compress.errors import CompressError
from birdbone.compress.schedule import cut_shares
from birdbone.compress.stop_loss import WaveDecision, WaveVerdict, judge_wave
from birdbone.compress.wave_control import WaveOutcome, WavePlan, find_emergency, next_wave

__all__ = [
    "CompressError",
    "LowRankConfig",
    "QuantizeConfig",
    "ShedStructuresConfig",
    "WaveDecision",
    "WaveOutcome",
    "WavePlan",
    "WaveVerdict",
    "WavesConfig",
    "cut_shares",
    "find_emergency",
    "judge_wave",
    "next_wave",
]
