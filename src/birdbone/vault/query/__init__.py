"""Questions about the state of a store: which versions match, where they came from, which are no longer needed.

A `Snapshot` is read once (`take_snapshot`); all else is computed from it. The language of queries stands in `language`,
its fields in `fields`, its logic in `matching`. Nothing here writes to a store or reads a tensor.
"""

from birdbone.vault.query.fields import FIELDS, phase_of
from birdbone.vault.query.lanes import Charset, LogLine
from birdbone.vault.query.lineage import LineageEdge, LineageGraph, LineageNode, build_lineage, draw_log
from birdbone.vault.query.picture import render_lineage, write_lineage
from birdbone.vault.query.retention import (
    DroppableVersion,
    KeptVersion,
    RetentionPlan,
    RetentionRules,
    plan_retention,
)
from birdbone.vault.query.selection import Match, query_versions
from birdbone.vault.query.snapshot import Scope, Snapshot, take_snapshot

__all__ = [
    "FIELDS",
    "Charset",
    "DroppableVersion",
    "KeptVersion",
    "LineageEdge",
    "LineageGraph",
    "LineageNode",
    "LogLine",
    "Match",
    "RetentionPlan",
    "RetentionRules",
    "Scope",
    "Snapshot",
    "build_lineage",
    "draw_log",
    "phase_of",
    "plan_retention",
    "query_versions",
    "render_lineage",
    "take_snapshot",
    "write_lineage",
]
