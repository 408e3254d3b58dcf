"""Low-rank factors, learned where rounding hurt and merged where that costs nothing."""

from birdbone.compress.lowrank.scales import MergeReport, load_quantized, merge_low_rank_scales

__all__ = ["MergeReport", "load_quantized", "merge_low_rank_scales"]
