"""Settings of the craft, a file an idea. Free of torch: a recipe is checked whole before anything heavy is loaded."""

from birdbone.compress.config.growth import GrowthConfig, PlateKind, ProtectConfig
from birdbone.compress.config.healing import HealConfig, RefitConfig, RegrowConfig
from birdbone.compress.config.importance import ImportanceConfig, MagnitudeConfig, WandaConfig
from birdbone.compress.config.lowrank import LowRankConfig
from birdbone.compress.config.quantize import LinearRole, QuantizeConfig, QuantizeFormat, RoundingConfig, StoredType
from birdbone.compress.config.shedding import (
    AdaptivePattern,
    BlockPattern,
    NOfMPattern,
    ScheduleConfig,
    ShedPattern,
    StructuralKind,
    StructuralPattern,
    TargetedPattern,
    UnstructuredPattern,
)
from birdbone.compress.config.statistics import FIRST_TOKEN_SHARE
from birdbone.compress.config.waves import ShedConfig, StopLossConfig, WavesConfig

__all__ = [
    "FIRST_TOKEN_SHARE",
    "AdaptivePattern",
    "BlockPattern",
    "GrowthConfig",
    "HealConfig",
    "ImportanceConfig",
    "LinearRole",
    "LowRankConfig",
    "MagnitudeConfig",
    "NOfMPattern",
    "PlateKind",
    "ProtectConfig",
    "QuantizeConfig",
    "QuantizeFormat",
    "RefitConfig",
    "RegrowConfig",
    "RoundingConfig",
    "ScheduleConfig",
    "ShedConfig",
    "ShedPattern",
    "StopLossConfig",
    "StoredType",
    "StructuralKind",
    "StructuralPattern",
    "TargetedPattern",
    "UnstructuredPattern",
    "WandaConfig",
    "WavesConfig",
]
