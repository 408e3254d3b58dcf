"""What a weight's importance is read from."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from birdbone.core import Settings

MetricKind = Literal["magnitude", "wanda", "ria", "hessian", "gradient", "fisher", "pruner_zero"]
"""Every metric there is, the cheapest first."""


class WandaConfig(Settings):
    """Score = |weight| times the root mean square of its input."""

    kind: Literal["wanda"] = "wanda"


class MagnitudeConfig(Settings):
    """Score = |weight|."""

    kind: Literal["magnitude"] = "magnitude"


class RiaConfig(Settings):
    """Score = |weight| as a share of its row and of its column, times a power of its input's root mean square."""

    kind: Literal["ria"] = "ria"
    activation_power: float = Field(default=0.5, ge=0, le=4)
    """Power of the root mean square of the input; 0 leaves the input out."""


class HessianConfig(Settings):
    """Score = what the output error rises by when the weight goes and its row is refitted."""

    kind: Literal["hessian"] = "hessian"
    damping: float = Field(default=0.01, ge=1e-6, le=1)
    """Share of the mean input power that is added to every input."""


class GradientConfig(Settings):
    """Score = |weight times gradient|: what the loss changes by when the weight goes, to first order."""

    kind: Literal["gradient"] = "gradient"


class FisherConfig(Settings):
    """Score = weight² times its mean squared gradient: the same to second order, by the diagonal of the Fisher."""

    kind: Literal["fisher"] = "fisher"


class PrunerZeroConfig(Settings):
    """Score = weight² times its gradient's size, scaled to 0 to 1 in its linear: found by a search of expressions."""

    kind: Literal["pruner_zero"] = "pruner_zero"


ImportanceConfig = (
    WandaConfig | MagnitudeConfig | RiaConfig | HessianConfig | GradientConfig | FisherConfig | PrunerZeroConfig
)

METRICS: dict[MetricKind, ImportanceConfig] = {
    "magnitude": MagnitudeConfig(),
    "wanda": WandaConfig(),
    "ria": RiaConfig(),
    "hessian": HessianConfig(),
    "gradient": GradientConfig(),
    "fisher": FisherConfig(),
    "pruner_zero": PrunerZeroConfig(),
}
"""Every metric with its usual settings."""
