"""Merging two versions of a model, and the arithmetic of merging.

Owns: the three-way comparison of versions, conflicts and the named strategies that settle them, and the maths of
linear, SLERP, task arithmetic, TIES, DARE and DELLA merges (`maths`), which any room may call with arrays.
Needs: the vault's store and records, NumPy. No torch.
"""

from birdbone.vault.merging.changes import Change
from birdbone.vault.merging.plan import KeyedFile, MergePlan, plan_merge
from birdbone.vault.merging.strategies import StrategyRule, parse_strategy
from birdbone.vault.merging.three_way import Decision, MergeResult, decide, merge, write_merge

__all__ = [
    "Change",
    "Decision",
    "KeyedFile",
    "MergePlan",
    "MergeResult",
    "StrategyRule",
    "decide",
    "merge",
    "parse_strategy",
    "plan_merge",
    "write_merge",
]
