"""Low-rank factors, learned where rounding hurt and merged where that costs nothing."""

from birdbone.compress.lowrank.scales import MergeReport, merge_low_rank_scales

__all__ = ["MergeReport", "merge_low_rank_scales"]
