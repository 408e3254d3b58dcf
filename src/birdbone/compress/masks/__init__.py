"""Pruning in one pass: masks and the values of what survives chosen together, block by block (`MaskConfig`)."""

from birdbone.compress.masks.blocks import PrunedLinear, PruneReport, drop_only, prune_blocks
from birdbone.compress.masks.patterns import projection

__all__ = ["PruneReport", "PrunedLinear", "drop_only", "projection", "prune_blocks"]
