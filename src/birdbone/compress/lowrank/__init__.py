"""Low-rank factors: of a weight, of what rounding did to it, of its block scales; and linears that train as factors."""

from birdbone.compress.lowrank.compensation import compensate, compensate_model
from birdbone.compress.lowrank.factors import Factors, WeightedSvd, factorise, weighted_svd
from birdbone.compress.lowrank.incremental import StreamedSvd, extend_svd, start_svd
from birdbone.compress.lowrank.linear import LowRankLinear, merge_factors, put_factors
from birdbone.compress.lowrank.nonnegative import factorise_nonnegative, split_signs
from birdbone.compress.lowrank.ranks import choose_rank, rank_by_damage, rank_by_energy, rank_by_share
from birdbone.compress.lowrank.scales import MergeReport, load_quantized, merge_low_rank_scales

__all__ = [
    "Factors",
    "LowRankLinear",
    "MergeReport",
    "StreamedSvd",
    "WeightedSvd",
    "choose_rank",
    "compensate",
    "compensate_model",
    "extend_svd",
    "factorise",
    "factorise_nonnegative",
    "load_quantized",
    "merge_factors",
    "merge_low_rank_scales",
    "put_factors",
    "rank_by_damage",
    "rank_by_energy",
    "rank_by_share",
    "split_signs",
    "start_svd",
    "weighted_svd",
]
