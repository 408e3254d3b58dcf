"""Loss spikes: telling, step by step, when a training loss rises as healthy noise does not. Free of torch.

Owns: the level and spread of healthy noise, five detectors and their vote, severity, the early warning, the
calibration of the limits by simulation. One step costs the same however long the stream is.
"""

from birdbone.compress.spikes.calibration import Noise, calibrate_limits, draw_noise
from birdbone.compress.spikes.detector import Reading, Spike, SpikeDetector, SpikeSeverity, find_spikes
from birdbone.compress.spikes.healthy_level import HealthyLevel
from birdbone.compress.spikes.scores import ScoreName, Scores

__all__ = [
    "HealthyLevel",
    "Noise",
    "Reading",
    "ScoreName",
    "Scores",
    "Spike",
    "SpikeDetector",
    "SpikeSeverity",
    "calibrate_limits",
    "draw_noise",
    "find_spikes",
]
