"""Training: the loop that every room above shares.

Owns: the optimiser loop with its schedule, clipping, and recovery from divergence; its settings (`config.py`).
Needs: torch, `watch` for the metric sink. It knows nothing of models: parameters and a loss go in.

What needs torch is imported from its own module (`birdbone.train.loop`), so that a recipe is checked without it.
"""

from birdbone.train.config import FitConfig
from birdbone.train.errors import DivergedError, TrainError

__all__ = ["DivergedError", "FitConfig", "TrainError"]
