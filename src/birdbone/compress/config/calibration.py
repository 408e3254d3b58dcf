"""Which windows of the calibration text are used."""

from __future__ import annotations

from typing import Literal

from birdbone.core import Settings


class CalibrationChoiceConfig(Settings):
    """How calibration windows are chosen from those there are."""

    kind: Literal["first", "coverage", "k_center"] = "first"
    """The first ones; those that together hold the most different tokens; or those that leave no window far from a
    chosen one."""
    features: Literal["embeddings", "activations"] = "embeddings"
    """What `k_center` measures distances in: the mean of a window's embeddings, or of the last block's outputs."""
