"""Questions about the state of a store: which versions match, where they came from, which are no longer needed."""

from birdbone.vault.query.selection import Match, query_versions
from birdbone.vault.query.snapshot import Scope, Snapshot, take_snapshot

__all__ = ["Match", "Scope", "Snapshot", "query_versions", "take_snapshot"]
