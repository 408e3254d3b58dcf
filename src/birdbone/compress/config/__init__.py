"""Settings of the craft, a file an idea. Free of torch: a recipe is checked whole before anything heavy is loaded."""

from birdbone.compress.config.analysis import AnalysisConfig
from birdbone.compress.config.growth import GrowthConfig, PlateKind, ProtectConfig
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
from birdbone.compress.config.masks import EvenBudget, LossBudget, MaskConfig, ZeroPattern
from birdbone.compress.config.quantize import LinearRole, QuantizeConfig, QuantizeFormat, RoundingConfig, StoredType
from birdbone.compress.config.shedding import (
    AdaptivePattern,
    BlockPattern,
    NOfMPattern,
    ScheduleConfig,
    ShedPattern,
    StructuralKind,
    StructuralPattern,
    StructuralShedConfig,
    TargetedPattern,
    UnstructuredPattern,
)
from birdbone.compress.config.statistics import FIRST_TOKEN_SHARE
from birdbone.compress.config.waves import ShedConfig, StopLossConfig, WavesConfig

__all__ = [
    "FIRST_TOKEN_SHARE",
    "METRICS",
    "AdaptivePattern",
    "AnalysisConfig",
    "BlockPattern",
    "EvenBudget",
    "FisherConfig",
    "GradientConfig",
    "GrowthConfig",
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
    "PlateKind",
    "ProtectConfig",
    "PrunerZeroConfig",
    "QuantizeConfig",
    "QuantizeFormat",
    "RefitConfig",
    "RegrowConfig",
    "RiaConfig",
    "RoundingConfig",
    "ScheduleConfig",
    "ShedConfig",
    "ShedPattern",
    "StopLossConfig",
    "StoredType",
    "StructuralKind",
    "StructuralPattern",
    "StructuralShedConfig",
    "TargetedPattern",
    "UnstructuredPattern",
    "WandaConfig",
    "WavesConfig",
    "ZeroPattern",
]
