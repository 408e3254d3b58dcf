"""Thresholds of clusters: how much each sheds, decided from its health, and searched by the loss that it leads to.

`cluster_health` says how much load a cluster carries, `decide_fractions` what share it sheds and why, with the sum held
at a target; `cluster_fractions` turns that into shares of rows and columns, which `waves.shed_wave` takes.
`tuning.tune_thresholds` searches what should count as load; it needs Optuna, of the extra `biophase`, and is imported
from its own module.
"""

from birdbone.compress.thresholds.decision import Decision, decide_fractions, fill_to_target
from birdbone.compress.thresholds.fractions import cluster_fractions, shed_clusters
from birdbone.compress.thresholds.health import ClusterHealth, cluster_health
from birdbone.compress.thresholds.shares import ColumnFractions, Fractions, RowFractions, shed_by_fractions

__all__ = [
    "ClusterHealth",
    "ColumnFractions",
    "Decision",
    "Fractions",
    "RowFractions",
    "cluster_fractions",
    "cluster_health",
    "decide_fractions",
    "fill_to_target",
    "shed_by_fractions",
    "shed_clusters",
]
