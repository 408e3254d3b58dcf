"""Settings of the craft, a file an idea. Free of torch: a recipe is checked whole before anything heavy is loaded."""

from birdbone.compress.config.analysis import AnalysisConfig
from birdbone.compress.config.calibration import CalibrationChoiceConfig
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
from birdbone.compress.config.control import AdaptiveControl, ControlConfig, EmergencyConfig, FixedControl
from birdbone.compress.config.damage import DamageConfig, IntegrityConfig, SeverityLimits
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
from birdbone.compress.config.lowrank import FactorConfig, LowRankConfig, RankConfig
from birdbone.compress.config.masks import EvenBudget, LossBudget, MaskConfig, ZeroPattern
from birdbone.compress.config.quantize import (
    AllocationConfig,
    BlockType,
    LinearRole,
    QuantizeConfig,
    QuantizeFormat,
    RoundingConfig,
    StoredType,
)
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
from birdbone.compress.config.spikes import SpikeConfig, SpikeLimits
from birdbone.compress.config.statistics import FIRST_TOKEN_SHARE
from birdbone.compress.config.thresholds import Balance, HealthWeights, ThresholdConfig, TuneConfig
from birdbone.compress.config.waves import ShedConfig, StopLossConfig, WavesConfig

__all__ = [
    "FIRST_TOKEN_SHARE",
    "METRICS",
    "AdaptiveControl",
    "AdaptivePattern",
    "AgglomerativeConfig",
    "AllocationConfig",
    "AnalysisConfig",
    "Balance",
    "BlockPattern",
    "BlockType",
    "CalibrationChoiceConfig",
    "ClusterConfig",
    "ClusterMethod",
    "ClusterScope",
    "ControlConfig",
    "DamageConfig",
    "EmergencyConfig",
    "EvenBudget",
    "FactorConfig",
    "FeatureBlock",
    "FeatureConfig",
    "FisherConfig",
    "FixedControl",
    "GradientConfig",
    "GrowthConfig",
    "HdbscanConfig",
    "HealConfig",
    "HealthWeights",
    "HessianConfig",
    "ImportanceConfig",
    "IntegrityConfig",
    "KMeansConfig",
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
    "RankConfig",
    "RefitConfig",
    "RegrowConfig",
    "RiaConfig",
    "RoundingConfig",
    "ScheduleConfig",
    "SeverityLimits",
    "ShedConfig",
    "ShedPattern",
    "SpikeConfig",
    "SpikeLimits",
    "StabilityConfig",
    "StopLossConfig",
    "StoredType",
    "StructuralKind",
    "StructuralPattern",
    "TargetedPattern",
    "ThresholdConfig",
    "TuneConfig",
    "UnitKind",
    "UnstructuredPattern",
    "WandaConfig",
    "WavesConfig",
    "ZeroPattern",
]
