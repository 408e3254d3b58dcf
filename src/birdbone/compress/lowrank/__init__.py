"""Low-rank factors: what they can say of a matrix, and merging them where that costs nothing."""

from birdbone.compress.lowrank.scales import MergeResult, merge_low_rank_scales
from birdbone.compress.lowrank.svd import truncate

__all__ = ["MergeResult", "merge_low_rank_scales", "truncate"]
