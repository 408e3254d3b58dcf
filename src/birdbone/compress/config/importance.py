"""What a weight's importance is read from."""

from __future__ import annotations

from typing import Literal

from birdbone.core import Settings


class WandaConfig(Settings):
    """Score = |weight| times the root mean square of its input."""

    kind: Literal["wanda"] = "wanda"


class MagnitudeConfig(Settings):
    """Score = |weight|."""

    kind: Literal["magnitude"] = "magnitude"


ImportanceConfig = WandaConfig | MagnitudeConfig
