"""Settings of the craft, a file an idea. Free of torch: a recipe is checked whole before anything heavy is loaded."""

from birdbone.compress.config.clusters import (
    AgglomerativeConfig,
    ClusterConfig,
    ClusterMethod,
    ClusterScope,
    FeatureBlock,
    FeatureConfig,
    HdbscanConfig,
    KMeansConfig,
    StabilityConfig,
    UnitKind,
)
from birdbone.compress.config.healing import HealConfig, RefitConfig, RegrowConfig
from birdbone.compress.config.importance import ImportanceConfig, MagnitudeConfig, WandaConfig
from birdbone.compress.config.lowrank import LowRankConfig
from birdbone.compress.config.quantize import LinearRole, QuantizeConfig, QuantizeFormat, RoundingConfig, StoredType
from birdbone.compress.config.statistics import FIRST_TOKEN_SHARE
from birdbone.compress.config.thresholds import Balance, HealthWeights, ThresholdConfig, TuneConfig
from birdbone.compress.config.waves import ShedConfig, StopLossConfig, WavesConfig

__all__ = [
    "FIRST_TOKEN_SHARE",
    "AgglomerativeConfig",
    "Balance",
    "ClusterConfig",
    "ClusterMethod",
    "ClusterScope",
    "FeatureBlock",
    "FeatureConfig",
    "HdbscanConfig",
    "HealConfig",
    "HealthWeights",
    "ImportanceConfig",
    "KMeansConfig",
    "LinearRole",
    "LowRankConfig",
    "MagnitudeConfig",
    "QuantizeConfig",
    "QuantizeFormat",
    "RefitConfig",
    "RegrowConfig",
    "RoundingConfig",
    "ShedConfig",
    "StabilityConfig",
    "StopLossConfig",
    "StoredType",
    "ThresholdConfig",
    "TuneConfig",
    "UnitKind",
    "WandaConfig",
    "WavesConfig",
]
