"""Settings of the craft, a file an idea. Free of torch: a recipe is checked whole before anything heavy is loaded."""

from birdbone.compress.config.calibration import CalibrationChoiceConfig
from birdbone.compress.config.healing import HealConfig, RefitConfig, RegrowConfig
from birdbone.compress.config.importance import ImportanceConfig, MagnitudeConfig, WandaConfig
from birdbone.compress.config.lowrank import FactorConfig, LowRankConfig, RankConfig
from birdbone.compress.config.quantize import (
    AllocationConfig,
    BlockType,
    LinearRole,
    QuantizeConfig,
    QuantizeFormat,
    RoundingConfig,
    StoredType,
)
from birdbone.compress.config.statistics import FIRST_TOKEN_SHARE
from birdbone.compress.config.waves import ShedConfig, StopLossConfig, WavesConfig

__all__ = [
    "FIRST_TOKEN_SHARE",
    "AllocationConfig",
    "BlockType",
    "CalibrationChoiceConfig",
    "FactorConfig",
    "HealConfig",
    "ImportanceConfig",
    "LinearRole",
    "LowRankConfig",
    "MagnitudeConfig",
    "QuantizeConfig",
    "QuantizeFormat",
    "RankConfig",
    "RefitConfig",
    "RegrowConfig",
    "RoundingConfig",
    "ShedConfig",
    "StopLossConfig",
    "StoredType",
    "WandaConfig",
    "WavesConfig",
]
