"""Settings of the craft, a file an idea. Free of torch: a recipe is checked whole before anything heavy is loaded."""

from birdbone.compress.config.analysis import AnalysisConfig
from birdbone.compress.config.healing import HealConfig, RefitConfig, RegrowConfig
from birdbone.compress.config.importance import (
    METRICS,
    FisherConfig,
    GradientConfig,
    HessianConfig,
    ImportanceConfig,
    MagnitudeConfig,
    MetricKind,
    PrunerZeroConfig,
    RiaConfig,
    WandaConfig,
)
from birdbone.compress.config.lowrank import LowRankConfig
from birdbone.compress.config.masks import EvenBudget, LossBudget, MaskConfig, NOfMPattern, UnstructuredPattern
from birdbone.compress.config.quantize import LinearRole, QuantizeConfig, QuantizeFormat, RoundingConfig, StoredType
from birdbone.compress.config.statistics import FIRST_TOKEN_SHARE
from birdbone.compress.config.waves import ShedConfig, StopLossConfig, WavesConfig

__all__ = [
    "FIRST_TOKEN_SHARE",
    "METRICS",
    "AnalysisConfig",
    "EvenBudget",
    "FisherConfig",
    "GradientConfig",
    "HealConfig",
    "HessianConfig",
    "ImportanceConfig",
    "LinearRole",
    "LossBudget",
    "LowRankConfig",
    "MagnitudeConfig",
    "MaskConfig",
    "MetricKind",
    "NOfMPattern",
    "PrunerZeroConfig",
    "QuantizeConfig",
    "QuantizeFormat",
    "RefitConfig",
    "RegrowConfig",
    "RiaConfig",
    "RoundingConfig",
    "ShedConfig",
    "StopLossConfig",
    "StoredType",
    "UnstructuredPattern",
    "WandaConfig",
    "WavesConfig",
]
